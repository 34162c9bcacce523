"""The verb that trains a classifier, and the one that uses it: `finetune-cells`, `predict`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_geneformer.cli.output import TABLES, draw_or_say_why_not, file_of, write_table


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `finetune-cells` and `predict`."""
    finetune = add(
        "finetune-cells",
        _finetune_cells,
        "train a classifier on labelled cells, from a pretrained model",
        "Writes a preset that `predict` takes, and beside its weights metrics.json (accuracy and\n"
        "macro-F1 on held-out cells), predictions.csv, confusion.csv, history.csv and pictures.",
        "keras-geneformer finetune-cells cells.dataset --model geneformer_v1_10m "
        "--label-key cell_type --output cell_types",
        trains=True,
    )
    finetune.add_argument("dataset", help="tokenized cells (from `tokenize`)")
    finetune.add_argument("--model", "--preset", required=True, help="pretrained model directory")
    finetune.add_argument("--label-key", required=True, help="obs column with the labels")
    finetune.add_argument("--output", required=True, metavar="DIR", help="preset to write")
    finetune.add_argument(
        "--validation",
        default="0.1",
        help="share of cells to hold out, or an obs column (a donor, say) of which whole groups "
        "are held out (default: %(default)s)",
    )
    finetune.add_argument("--epochs", type=int, default=1, help="(default: %(default)s)")
    finetune.add_argument(
        "--freeze-layers",
        type=int,
        default=0,
        help="encoder blocks, from the input, that keep their weights (default: %(default)s)",
    )
    finetune.add_argument(
        "--head-layers", type=int, default=0, help="new encoder blocks (default: %(default)s)"
    )
    finetune.add_argument(
        "--pooling",
        choices=("first", "mean", "cls"),
        default="first",
        help="what stands for the cell (default: %(default)s, as published)",
    )
    finetune.add_argument(
        "--vocabulary", help="v1, v2 or a directory, to keep in the preset (default: the model's)"
    )
    _add_training(finetune, learning_rate=5e-4)

    predict = add(
        "predict",
        _predict,
        "label cells with a classifier",
        "Writes one row a cell: its name, the likeliest label and the probability of each.",
        "keras-geneformer predict cells.dataset --model cell_types --output labels.csv",
    )
    predict.add_argument("dataset", help="tokenized cells (from `tokenize`)")
    predict.add_argument("--model", "--preset", required=True, help="classifier's preset")
    predict.add_argument("--output", required=True, type=file_of(*TABLES), help=".parquet or .csv")
    predict.add_argument("--batch-size", type=int, help="cells a batch (default: as memory allows)")


def _add_training(verb: argparse.ArgumentParser, learning_rate: float) -> None:
    verb.add_argument(
        "--batch-size", type=int, default=12, help="cells a batch (default: %(default)s)"
    )
    verb.add_argument(
        "--learning-rate",
        type=float,
        default=learning_rate,
        help="the peak, after a warm-up (default: %(default)s)",
    )
    verb.add_argument("--seed", type=int, default=0, help="of every draw (default: %(default)s)")


def _finetune_cells(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, GeneVocabulary, finetune_cells

    result = finetune_cells(
        options.model,
        CellDataset.load(options.dataset),
        options.label_key,
        validation=_share_or_column(options.validation),
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        freeze_layers=options.freeze_layers,
        head_layers=options.head_layers,
        pooling=options.pooling,
        seed=options.seed,
        output=options.output,
        vocabulary=GeneVocabulary.load(options.vocabulary) if options.vocabulary else None,
    )
    output = Path(options.output)

    def draw() -> None:
        from keras_geneformer import plotting

        title = f"{options.label_key}: {len(result.predictions)} held-out cells"
        plotting.confusion_matrix(result.confusion, output / "confusion.png", title=title)

    _draw_losses(result.history, output, "Loss while fine-tuning")
    draw_or_say_why_not(draw)
    print(
        f"{len(result.model.classes)} classes; on {len(result.predictions)} held-out cells: "
        + ", ".join(f"{name} {value:.3f}" for name, value in result.metrics.items())
        + f"\nclassifier, {', '.join(sorted(path.name for path in output.glob('*.[cjp][sn]*')))} "
        f"in {output}"
    )
    if not (output / "vocabulary").is_dir():
        print("no vocabulary is kept with it (--vocabulary keeps one)")


def _predict(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, predict

    cells = CellDataset.load(options.dataset)
    table = predict(options.model, cells, batch_size=options.batch_size, progress=True)
    write_table(table, options.output)
    counts = table["label"].value_counts()
    print(f"{len(table)} cells labelled, in {options.output}")
    print("\n".join(f"  {count:6d}  {label}" for label, count in counts.items()))


def _share_or_column(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _draw_losses(history: Any, output: Path, title: str) -> None:
    def draw() -> None:
        from keras_geneformer import plotting

        plotting.loss_curve(
            history, output / "loss.png", title=title, ylabel="cross-entropy (nats)"
        )

    draw_or_say_why_not(draw)
