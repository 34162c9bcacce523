"""The verbs that say how good fine-tuning is: `cross-validate` and `compare`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from keras_geneformer.cli.counts_options import add_counts_options, counts_options
from keras_geneformer.cli.finetune_options import (
    add_finetune_options,
    finetune_settings,
    values_of_setting,
)
from keras_geneformer.cli.output import TABLES, draw_or_say_why_not, file_of, write_table


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `cross-validate` and `compare`."""
    crossed = add(
        "cross-validate",
        _cross_validate,
        "fine-tune and test on every fold of labelled cells",
        "Writes folds.csv (a row a fold), summary.csv (means and intervals), predictions.csv\n"
        "(every cell, by the model that did not see it) and pictures. Run again it goes on at the\n"
        "next fold.",
        "keras-geneformer cross-validate geneformer_mini cells.dataset --label-key cell_type "
        "--folds 5 --output folds",
        trains=True,
    )
    add_cells(crossed)
    _add_folds(crossed)
    crossed.add_argument("--output", required=True, metavar="DIR", help="directory to write")
    crossed.add_argument(
        "--repeats", type=int, default=1, help="times all cells are split (default: %(default)s)"
    )
    crossed.add_argument(
        "--grid",
        type=values_of_setting,
        action="append",
        metavar="NAME=A,B",
        help="values of a setting to choose from on folds of the training cells; may be repeated",
    )
    crossed.add_argument(
        "--inner-folds", type=int, default=3, help="folds for --grid (default: %(default)s)"
    )
    add_finetune_options(crossed)

    compared = add(
        "compare",
        _compare,
        "hold a fine-tuned model against other methods on the same folds",
        "Writes the table (a row a method and fold: accuracy, macro_f1, seconds, ...), beside\n"
        "it a picture (.png), and a folder (.folds) with the summary, the predictions and every\n"
        "fold. Run again it goes on at the next fold; more baselines run alone.",
        "keras-geneformer compare geneformer_mini cells.dataset --counts cells.h5ad "
        "--label-key cell_type --baselines logistic-regression,svm --epochs 3 --output table.csv",
        trains=True,
    )
    add_cells(compared)
    _add_folds(compared)
    compared.add_argument(
        "--counts", help="what the cells were tokenized from; needed for methods on counts"
    )
    compared.add_argument(
        "--baselines",
        help="with commas between them: majority, logistic-regression, svm, svm-linear, "
        "random-forest, xgboost, knn, untrained, untrained-N; or none (default: "
        "logistic-regression,svm,random-forest,xgboost,knn,untrained-1)",
    )
    compared.add_argument("--output", required=True, type=file_of(*TABLES), help=".csv or .parquet")
    add_finetune_options(compared)
    add_counts_options(compared)


def add_cells(verb: argparse.ArgumentParser) -> None:
    """Adds the model, the cells, `--label-key`, `--leave-out` and `--seed`."""
    verb.add_argument("preset", metavar="PRESET", help="pretrained model: name or directory")
    verb.add_argument("dataset", help="tokenized cells (from `tokenize`)")
    verb.add_argument("--label-key", required=True, help="obs column with the labels")
    verb.add_argument(
        "--leave-out",
        default="",
        metavar="LABELS",
        help="labels whose cells take no part, with commas between them",
    )
    verb.add_argument("--seed", type=int, default=0, help="of every draw (default: %(default)s)")


def _add_folds(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--folds",
        type=folds,
        default=5,
        help="how many, or leave-one-out: each group of --group-key once (default: %(default)s)",
    )
    verb.add_argument(
        "--group-key", help="obs column (donor, batch) of which no value is on both sides"
    )


def folds(text: str) -> int | str:
    """An argparse type: a number of folds, or leave-one-out."""
    if text == "leave-one-out":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number, nor leave-one-out") from None


def labelled(options: argparse.Namespace) -> Any:
    """The cells, without those of labels that were left out."""
    from keras_geneformer import CellDataset

    cells = CellDataset.load(options.dataset)
    labels = [label.strip() for label in options.leave_out.split(",") if label.strip()]
    if labels and options.label_key in cells.obs:
        column = cells.obs[options.label_key].astype(object)
        unknown = sorted(set(labels) - set(column.dropna().astype(str)))
        if unknown:
            raise ValueError(f"no cell has the label {unknown[0]!r}, which --leave-out names")
        cells = cells.subset(~column.astype(str).isin(labels).to_numpy())
    return cells


def _cross_validate(options: argparse.Namespace) -> None:
    from keras_geneformer import cross_validate

    found = cross_validate(
        options.preset,
        labelled(options),
        options.label_key,
        folds=options.folds,
        group_key=options.group_key,
        repeats=options.repeats,
        grid=dict(options.grid) if options.grid else None,
        inner_folds=options.inner_folds,
        seed=options.seed,
        output=options.output,
        **finetune_settings(options),
    )
    output = Path(options.output)

    def draw() -> None:
        from keras_geneformer import plotting

        title = f"{options.label_key}: {len(found.folds)} folds"
        plotting.fold_scores(found.table, output / "folds.png", title=title)
        plotting.confusion_matrix(found.predictions, output / "confusion.png", title=title)

    draw_or_say_why_not(draw)
    for row in found.summary.to_dict("records"):
        sd = "" if len(found.table) < 2 else f" ± {row['sd']:.3f}"
        print(
            f"{row['metric']}: {row['mean']:.3f}{sd} over {len(found.table)} folds"
            f"{_interval(row['low'], row['high'])}"
        )
    print(f"folds.csv, summary.csv, predictions.csv and pictures in {output}")


def _compare(options: argparse.Namespace) -> None:
    from keras_geneformer import compare
    from keras_geneformer.evaluation.baselines import DEFAULT_BASELINES

    names: tuple[str, ...] = DEFAULT_BASELINES
    if options.baselines is not None:
        names = tuple(name.strip() for name in options.baselines.split(",") if name.strip())
    output = Path(options.output)
    work = output.with_suffix(".folds")
    of_counts = counts_options(options)
    # Genes need no names here: all of the file's are looked at.
    del of_counts["gene_key"]
    found = compare(
        options.preset,
        labelled(options),
        options.label_key,
        counts=options.counts,
        baselines=() if names == ("none",) else names,
        folds=options.folds,
        group_key=options.group_key,
        seed=options.seed,
        output=work,
        **of_counts,
        **finetune_settings(options),
    )
    write_table(found.table, output, index=False)

    def draw() -> None:
        from keras_geneformer import plotting

        title = f"{options.label_key}: {len(found.folds)} folds"
        plotting.comparison_bars(found.table, output.with_suffix(".png"), title=title)

    drew = draw_or_say_why_not(draw)
    print("\n".join(summary_lines(found.summary)))
    print(found.verdict)
    print(f"table in {output}{', picture beside it' if drew else ''}; folds in {work}")


def summary_lines(summary: pd.DataFrame) -> list[str]:
    """The summary of a comparison as lines of text, a method each.

    Args:
        summary: from `compare`.
    """
    width = max(len(name) for name in (*summary["method"], "method"))
    lines = [f"{'method':{width}}  accuracy  macro-F1  interval        p against it  seconds"]
    for row in summary.to_dict("records"):
        low, high = row["macro_f1_low"], row["macro_f1_high"]
        interval = "" if pd.isna(low) else f"{low:.3f}-{high:.3f}"
        p = "" if pd.isna(row["p"]) else f"{row['p']:.3f}" if row["p"] >= 0.001 else "< 0.001"
        lines.append(
            f"{row['method']:{width}}  {row['accuracy']:8.3f}  {row['macro_f1']:8.3f}  "
            f"{interval:14}  {p:>12}  {row['seconds']:7.1f}"
        )
    return lines


def _interval(low: float, high: float) -> str:
    return "" if pd.isna(low) else f" (95 % interval of the mean {low:.3f} to {high:.3f})"
