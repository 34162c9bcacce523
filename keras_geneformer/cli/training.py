"""The verb that trains a classifier, and the one that uses it: `finetune-cells`, `predict`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_geneformer.cli.finetune_options import (
    add_finetune_options,
    finetune_settings,
    number_or_text,
)
from keras_geneformer.cli.output import TABLES, draw_or_say_why_not, file_of, write_table

_HELD_OUT = (
    "a share of the cells; an obs column (a donor, say), of which whole groups are held out; "
    "COLUMN=VALUE,VALUE, the cells with these values; or a .txt file with a cell's name a line"
)


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `finetune-cells` and `predict`."""
    finetune = add(
        "finetune-cells",
        _finetune_cells,
        "train a classifier on labelled cells, from a pretrained model",
        "Writes a preset that `predict` takes, and beside its weights report.html with pictures,\n"
        "metrics.json (accuracy and macro-F1 on held-out cells), predictions.csv, confusion.csv,\n"
        "history.csv, parts.csv (which cell was where) and run.json (what was asked for).",
        "keras-geneformer finetune-cells cells.dataset --model geneformer_v1_10m "
        "--label-key cell_type --output cell_types",
        trains=True,
    )
    finetune.add_argument("dataset", help="tokenized cells (from `tokenize`)")
    finetune.add_argument("--model", "--preset", required=True, help="pretrained model directory")
    finetune.add_argument(
        "--label-key",
        required=True,
        help="obs column with the labels; several with commas between them, of --task multi-label "
        "(columns of 0 and 1) or regression",
    )
    finetune.add_argument("--output", required=True, metavar="DIR", help="preset to write")
    finetune.add_argument(
        "--task",
        choices=("single-label", "multi-label", "regression"),
        default="single-label",
        help="classes, several labels a cell (joined by ;), or numbers (default: %(default)s)",
    )
    finetune.add_argument(
        "--test", type=held_out, help=f"cells that are looked at once, at the end: {_HELD_OUT}"
    )
    finetune.add_argument(
        "--group-key", help="obs column of which no value may be on two sides of the split"
    )
    finetune.add_argument(
        "--keep",
        type=kept,
        action="append",
        default=[],
        metavar="COLUMN=VALUE,VALUE",
        help="only the cells with these values take part; of several columns, with all of them",
    )
    finetune.add_argument(
        "--rare-threshold",
        type=float,
        default=0.0,
        help="classes with a smaller share of the cells are left out (default: %(default)s)",
    )
    finetune.add_argument("--max-cells", type=int, help="cells of a class, at most")
    finetune.add_argument(
        "--no-calibrate", action="store_true", help="do not calibrate on the validation cells"
    )
    finetune.add_argument("--seed", type=int, default=0, help="of every draw")
    finetune.add_argument(
        "--vocabulary", help="v1, v2 or a directory, to keep in the preset (default: the model's)"
    )
    add_finetune_options(finetune)

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
    predict.add_argument(
        "--unassigned",
        type=number_or_text,
        metavar="confidence|distance|P",
        help="leave cells without a label that are below the calibrated confidence, farther from "
        "all classes than known cells are, or below the probability P",
    )
    predict.add_argument("--batch-size", type=int, help="cells a batch (default: as memory allows)")


def held_out(text: str) -> Any:
    """An argparse type: which cells, as `finetune_cells` takes them.

    Example:
        >>> held_out("0.2"), held_out("donor"), held_out("donor=d1,d2")
        (0.2, 'donor', {'donor': ['d1', 'd2']})
    """
    column, equals, values = text.partition("=")
    if equals:
        return {column: values.split(",")}
    if text.endswith(".txt"):
        try:
            return Path(text).read_text(encoding="utf-8").rstrip("\n").split("\n")
        except OSError as error:
            raise argparse.ArgumentTypeError(f"{text!r} cannot be read: {error}") from error
    return number_or_text(text)


def kept(text: str) -> dict[str, list[str]]:
    """An argparse type: the cells with some values of an obs column."""
    column, equals, values = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=VALUE,VALUE")
    return {column: values.split(",")}


def _finetune_cells(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, GeneVocabulary, finetune_cells

    columns = options.label_key.split(",")
    several = options.task != "single-label" and len(columns) > 1
    keep: dict[str, list[str]] = {}
    for column, values in (item for one in options.keep for item in one.items()):
        keep.setdefault(column, []).extend(values)
    settings = finetune_settings(options)
    if isinstance(settings.get("validation"), str):
        settings["validation"] = held_out(settings["validation"])
    result = finetune_cells(
        options.model,
        CellDataset.load(options.dataset),
        columns if several else options.label_key,
        task=options.task,
        test=options.test,
        group_key=options.group_key,
        keep=keep,
        rare_threshold=options.rare_threshold,
        max_cells=options.max_cells,
        calibrate=not options.no_calibrate,
        output=options.output,
        vocabulary=GeneVocabulary.load(options.vocabulary) if options.vocabulary else None,
        **({"seed": options.seed} | settings),
    )
    output = Path(options.output)

    def draw() -> None:
        from keras_geneformer.finetune_report import write_report

        write_report(output, output, title=f"Fine-tuning: {options.label_key}")

    if len(result.predictions) or len(result.test_predictions):
        draw_or_say_why_not(draw)
    if result.model.task == "regression":
        print(f"{len(result.model.classes)} columns of numbers")
    else:
        print(f"{len(result.model.classes)} classes")
    for part, table, metrics in (
        ("validation", result.predictions, result.metrics),
        ("test", result.test_predictions, result.test_metrics),
    ):
        if len(table):
            said = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
            print(f"on {len(table)} {part} cells: {said}")
    written = sorted(
        path.name for path in output.iterdir() if path.suffix in (".csv", ".json", ".png", ".html")
    )
    print(f"classifier, {', '.join(written)} in {output}")
    if not (output / "vocabulary").is_dir():
        print("no vocabulary is kept with it (--vocabulary keeps one)")


def _predict(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, predict

    cells = CellDataset.load(options.dataset)
    table = predict(
        options.model,
        cells,
        unassigned=options.unassigned,
        batch_size=options.batch_size,
        progress=True,
    )
    write_table(table, options.output)
    print(f"{len(table)} cells labelled, in {options.output}")
    if "label" in table:
        counts = table["label"].value_counts()
        print("\n".join(f"  {count:6d}  {label}" for label, count in counts.items()))
    else:
        print(table.describe().loc[["mean", "std", "min", "max"]].round(3).to_string())
