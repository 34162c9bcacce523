"""The verbs for several obs columns at once: `finetune-multitask`, `predict-tasks`."""

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

_POOLINGS = ("attention", "mean", "first", "cls")


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `finetune-multitask` and `predict-tasks`."""
    finetune = add(
        "finetune-multitask",
        _finetune,
        "train one classifier of several obs columns at once, from a pretrained model",
        "Writes a preset that `predict-tasks` takes, and beside its weights metrics.csv (a row a\n"
        "column: accuracy and macro-F1 on held-out cells), predictions.csv, confusion.csv,\n"
        "history.csv and pictures. A cell without a label in one column trains the others.",
        "keras-geneformer finetune-multitask cells.dataset --model geneformer_v1_10m "
        "--label-keys cell_type,disease --output tasks",
        trains=True,
    )
    finetune.add_argument("dataset", help="tokenized cells (from `tokenize`)")
    finetune.add_argument("--model", "--preset", required=True, help="pretrained model directory")
    finetune.add_argument(
        "--label-keys",
        required=True,
        type=_names,
        metavar="A,B",
        help="obs columns with the labels, with commas between them",
    )
    finetune.add_argument("--output", required=True, metavar="DIR", help="preset to write")
    finetune.add_argument(
        "--task-weights",
        type=_task_weights,
        default="uncertainty",
        metavar="WEIGHTS",
        help="uncertainty, which is learnt; equal; or a weight for each column, as in "
        "cell_type=1,disease=0.5 (default: %(default)s)",
    )
    finetune.add_argument(
        "--test",
        type=number_or_text,
        help="share of the cells that are looked at once, at the end, or an obs column of which "
        "whole groups are",
    )
    finetune.add_argument(
        "--group-key", help="obs column (donor, batch) of which no value is on both sides"
    )
    finetune.add_argument(
        "--vocabulary", help="v1, v2 or a directory, to keep in the preset (default: the model's)"
    )
    finetune.add_argument("--seed", type=int, default=0, help="of every draw (default: 0)")
    add_finetune_options(finetune, poolings=_POOLINGS)

    predict = add(
        "predict-tasks",
        _predict,
        "label cells with a classifier of several obs columns",
        "Writes one row a cell: its name, and for each column the likeliest label and the\n"
        "probability of each.",
        "keras-geneformer predict-tasks cells.dataset --model tasks --output labels.csv",
    )
    predict.add_argument("dataset", help="tokenized cells (from `tokenize`)")
    predict.add_argument("--model", "--preset", required=True, help="classifier's preset")
    predict.add_argument("--output", required=True, type=file_of(*TABLES), help=".parquet or .csv")
    predict.add_argument("--batch-size", type=int, help="cells a batch (default: as memory allows)")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _task_weights(text: str) -> str | dict[str, float] | None:
    """An argparse type: what `finetune_multitask` takes."""
    if text in ("uncertainty", "equal"):
        return None if text == "equal" else text
    try:
        pairs = [part.rpartition("=") for part in text.split(",")]
        return {task.strip(): float(weight) for task, _, weight in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither uncertainty nor equal, nor COLUMN=WEIGHT with commas between"
        ) from None


def _finetune(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, GeneVocabulary, finetune_multitask

    result = finetune_multitask(
        options.model,
        CellDataset.load(options.dataset),
        options.label_keys,
        task_weights=options.task_weights,
        test=options.test,
        group_key=options.group_key,
        output=options.output,
        vocabulary=GeneVocabulary.load(options.vocabulary) if options.vocabulary else None,
        **({"seed": options.seed} | finetune_settings(options)),
    )
    output = Path(options.output)
    draw_or_say_why_not(lambda: _draw(result, output))
    print(f"{len(result.model.tasks)} tasks, on held-out cells:")
    print(result.metrics.round(3).to_string())
    if len(result.test_metrics):
        print(f"on test cells:\n{result.test_metrics.round(3).to_string()}")
    print(
        f"classifier, {', '.join(sorted(path.name for path in output.glob('*.[cjp][sn]*')))} "
        f"in {output}"
    )
    if not (output / "vocabulary").is_dir():
        print("no vocabulary is kept with it (--vocabulary keeps one)")


def _draw(result: Any, output: Path) -> None:
    from keras_geneformer import plotting

    plotting.loss_curve(
        result.history, output / "loss.png", title="Loss while fine-tuning", ylabel="weighed loss"
    )
    for number, (task, confusion) in enumerate(result.confusions.items(), start=1):
        title = f"{task}: {len(result.predictions[task])} held-out cells"
        folder = output / "confusions"
        folder.mkdir(exist_ok=True)
        # By number: a column's name may hold what a file's may not.
        plotting.confusion_matrix(confusion, folder / f"task_{number}.png", title=title)


def _predict(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, predict_tasks
    from keras_geneformer.training.finetuning.multitask_result import side_by_side

    cells = CellDataset.load(options.dataset)
    tables = predict_tasks(options.model, cells, batch_size=options.batch_size, progress=True)
    write_table(side_by_side(tables), options.output)
    print(f"{len(cells)} cells labelled, in {options.output}")
    for task, table in tables.items():
        print(f"{task}:")
        counts = table["label"].value_counts()
        print("\n".join(f"  {count:6d}  {label}" for label, count in counts.items()))
