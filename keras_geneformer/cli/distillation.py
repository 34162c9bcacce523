"""The verb `distill`."""

import argparse
from collections.abc import Callable
from typing import Any

from keras_geneformer.cli.finetune_options import assignment, number_or_text

_SETTINGS = ("epochs", "batch_size", "learning_rate", "early_stopping")


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `distill`."""
    verb = add(
        "distill",
        _distill,
        "train a smaller model on what a larger one says of cells",
        "The teacher is a masked LM or a classifier of cells. Writes the student's preset, and\n"
        "beside its weights README.md, metrics.json (student and teacher on held-out cells),\n"
        "history.csv and run.json (what was asked for).",
        "keras-geneformer distill cell_types cells.dataset --layers 2 --label-key cell_type "
        "--output cell_types_small",
        trains=True,
    )
    verb.add_argument("teacher", metavar="TEACHER", help="preset to learn from")
    verb.add_argument("dataset", help="tokenized cells (from `tokenize`)")
    verb.add_argument("--output", required=True, metavar="DIR", help="preset to write")
    verb.add_argument(
        "--layers",
        type=_layers,
        help="blocks of the teacher that the student begins with: how many, or their numbers with "
        "commas between them",
    )
    verb.add_argument(
        "--student", metavar="PRESET", help="in place of --layers, a model of the same vocabulary"
    )
    verb.add_argument("--label-key", help="obs column with the true classes, for a classifier")
    verb.add_argument(
        "--temperature",
        type=float,
        default=2.0,
        help="by which scores are divided (default: %(default)s)",
    )
    verb.add_argument("--epochs", type=float, help="passes over the training cells (default: 1)")
    verb.add_argument("--batch-size", type=int, help="cells a batch (default: 12)")
    verb.add_argument("--learning-rate", type=float, help="the peak, after a warm-up")
    verb.add_argument(
        "--early-stopping", type=int, help="epochs without a better score, after which it ends"
    )
    verb.add_argument(
        "--validation",
        type=number_or_text,
        default=0.1,
        help="share of the cells that choose the epoch, or an obs column of which whole groups do",
    )
    verb.add_argument(
        "--set",
        type=assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other setting, such as hidden=0 or weight_decay=0.01",
    )
    verb.add_argument("--seed", type=int, default=0, help="of every draw")
    verb.add_argument(
        "--vocabulary",
        help="v1, v2 or a directory, to keep in the preset (default: the teacher's)",
    )


def _layers(text: str) -> int | list[int]:
    numbers = [int(one) for one in text.split(",")]
    return numbers if "," in text else numbers[0]


def _distill(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, GeneVocabulary, distill

    given = {name: getattr(options, name) for name in _SETTINGS}
    settings: dict[str, Any] = {
        name: value for name, value in given.items() if value is not None
    } | dict(options.set)
    result = distill(
        options.teacher,
        CellDataset.load(options.dataset),
        layers=options.layers,
        student=options.student,
        label_key=options.label_key,
        temperature=options.temperature,
        validation=options.validation,
        output=options.output,
        vocabulary=GeneVocabulary.load(options.vocabulary) if options.vocabulary else None,
        **({"seed": options.seed} | settings),
    )
    print(result.text())
    print(f"{type(result.model).__name__} in {options.output}")
