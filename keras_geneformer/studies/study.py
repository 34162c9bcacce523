"""What a study is: a question that was asked of data before, and how it was answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PUBLISHED_BLOCKS = 6
"""Encoder blocks of the model that the studies were run with (Geneformer V1, 10M weights)."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study as a recipe, which `run_study` runs on data that the user gives.

    Example:
        >>> from keras_geneformer.studies import STUDIES
        >>> STUDIES["pancreas-baseline"].settings["freeze_layers"]
        5
    """

    name: str
    """As the command line spells it."""
    kind: str
    """`"cells"`, `"genes"`, `"perturbation"` or `"states"`: which runner answers it."""
    title: str
    replicates: str
    """The question, and whose it was."""
    source: str
    """Where the settings and the published figures come from."""
    needs: str
    """What the data have to hold."""
    judged: str
    """By what the answer is judged."""
    label_key: str = "cell_type"
    """Column of obs with the classes, unless the user names another."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How to train: of `FinetuneSettings`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of `finetune_cells` or `finetune_genes`; of states, how many cells and genes
    are perturbed, and how."""
    classes: tuple[str, ...] = ()
    """Of a gene list, those that are told apart, where it has more; empty for all."""
    published: Mapping[str, str] = field(default_factory=dict)
    """Figure by figure what was published; empty where nothing is known to be."""
    published_cells: int | None = None
    """How many cells that was on."""
    published_steps: int | None = None
    """Training steps of that run, where a warm-up in steps has to be read against them."""
