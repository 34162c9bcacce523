"""What a run will take, before it is begun."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_geneformer.data.batch_source import BatchSource
from keras_geneformer.data.masking import Masking
from keras_geneformer.training.recipes.recipe import Recipe


@dataclass(frozen=True)
class RunPlan:
    """How many steps and tokens a run has."""

    cells: int
    """Cells trained on in an epoch."""
    held_out: int
    """Cells held out."""
    tokens: int
    """Real tokens of an epoch."""
    padding: float
    """Share of an epoch's batches that is padding, between 0 and 1."""
    steps_per_epoch: int
    steps: int
    """Of the whole run."""
    parameters: int
    """Weights of the model, with its head."""

    def __str__(self) -> str:
        return "\n".join(
            [
                f"cells        {self.cells:,} to train on, {self.held_out:,} held out",
                f"tokens       {self.tokens:,} an epoch; {self.padding:.1%} padding beside them",
                f"steps        {self.steps:,} ({self.steps_per_epoch:,} an epoch)",
                f"parameters   {self.parameters:,}",
            ]
        )


def plan_run(
    recipe: Recipe,
    cells: Any,
    held: Any,
    *,
    vocabulary: Any,
    max_length: int,
    parameters: int,
    steps: int | None = None,
) -> RunPlan:
    """Count the steps of a run.

    Args:
        recipe: says what a batch is, and how many epochs there are.
        cells: the `CellDataset` to train on.
        held: cells held out, or None.
        vocabulary: the `GeneVocabulary` of the cells.
        max_length: tokens that the model takes.
        parameters: weights of the model.
        steps: in place of the recipe's epochs.

    Raises:
        ValueError: no cells, or sizes that do not fit them.
    """
    batches = BatchSource(
        cells,
        batch_size=recipe.batch_size,
        max_tokens=recipe.max_tokens,
        masking=Masking(vocabulary.size, vocabulary.special_tokens, recipe.mask_rate),
        pack=recipe.packed,
        max_length=max_length,
        shuffle=True,
    )
    each = batches.steps_per_epoch
    return RunPlan(
        cells=len(cells),
        held_out=0 if held is None else len(held),
        tokens=int(np.sum(cells.lengths, dtype=np.int64)),
        padding=batches.padded_share,
        steps_per_epoch=each,
        steps=recipe.epochs * each if steps is None else steps,
        parameters=parameters,
    )


def parameter_count(recipe: Recipe, vocabulary_size: int) -> int:
    """Weights of a masked LM of a recipe's shape, without building it.

    Args:
        recipe: with a shape.
        vocabulary_size: token ids.

    Example:
        >>> from keras_geneformer.training.recipes import v1_10m
        >>> parameter_count(v1_10m(), 25_426)
        10288722
    """
    shape = recipe.shape
    width, inner = shape["hidden_dim"], shape["intermediate_dim"]
    norm = 2 * width
    embeddings = (vocabulary_size + shape["max_length"] + 2) * width + norm
    attention = 4 * (width * width + width) + norm
    feed_forward = 2 * width * inner + inner + width + norm
    head = width * width + width + norm + vocabulary_size
    return embeddings + shape["num_layers"] * (attention + feed_forward) + head
