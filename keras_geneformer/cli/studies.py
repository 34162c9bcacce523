"""The verb `study`: questions that were asked of Geneformer before, on data of your own."""

import argparse
from collections.abc import Callable
from typing import Any

from keras_geneformer.cli.counts_options import add_counts_options, counts_options
from keras_geneformer.cli.gene_option import named_genes
from keras_geneformer.cli.output import draw_or_say_why_not

_NUMBERS = {
    "epochs": float,
    "batch_size": int,
    "learning_rate": float,
    "freeze_layers": int,
    "seed": int,
}
_WORDS = ("loss", "pooling")


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `study`."""
    from keras_geneformer.studies import STUDIES

    verb = add(
        "study",
        _study,
        "run a published study on data of your own",
        "Writes report.html with the published figures beside those of this run, the tables it\n"
        "rests on, and the trained model in DIR/preset. The studies:\n\n"
        + "\n".join(f"  {name:28s} {study.title}" for name, study in STUDIES.items()),
        "keras-geneformer study exposure --data kang.h5ad --label-key condition --output kang",
        trains=True,
    )
    verb.add_argument("name", choices=tuple(STUDIES), metavar="NAME", help="one of the above")
    verb.add_argument("--data", required=True, help=".h5ad with counts, or a .dataset")
    verb.add_argument("--output", required=True, metavar="DIR", help="directory to write")
    verb.add_argument(
        "--model",
        "--preset",
        default="geneformer_mini",
        help="pretrained model (default: %(default)s, which ships with the package)",
    )
    verb.add_argument("--vocabulary", help="v1, v2 or a directory (default: the model's)")
    verb.add_argument(
        "--genes",
        help="csv with ensembl_id (or gene_name) and label; of perturb-then-predict and "
        "differentiation, the genes to perturb: such a csv, or ids or symbols with commas "
        "(default: the 50 or 500 most frequent)",
    )
    verb.add_argument("--label-key", help="obs column with the classes (default: the study's)")
    verb.add_argument(
        "--group-key", help="obs column (donor, patient, ...) of which whole groups are held out"
    )
    verb.add_argument("--control", help="class of the untreated cells (perturb-then-predict)")
    verb.add_argument("--start", help="class of the cells that are perturbed (differentiation)")
    verb.add_argument("--goal", help="class that they are to move towards (differentiation)")
    verb.add_argument(
        "--alternatives",
        nargs="+",
        default=[],
        metavar="CLASS",
        help="classes that they may move towards as well (differentiation)",
    )
    verb.add_argument(
        "--kinds",
        nargs="+",
        choices=("delete", "overexpress", "inhibit", "activate"),
        help="what is done to genes (differentiation; default: delete overexpress)",
    )
    verb.add_argument("--cells", type=int, help="at most so many cells, drawn at random")
    verb.add_argument("--max-length", type=int, help="longest cell in tokens, of an .h5ad")
    verb.add_argument("--folds", type=int, help="of the studies of genes (default: 5)")
    for name, kind in _NUMBERS.items():
        verb.add_argument(_option(name), type=kind, help="(default: the study's)")
    for name in _WORDS:
        verb.add_argument(_option(name), help="(default: the study's)")
    verb.add_argument("--no-map", action="store_true", help="draw no UMAP, which takes a while")
    add_counts_options(verb)


def _study(options: argparse.Namespace) -> None:
    from keras_geneformer import run_study
    from keras_geneformer.studies.differentiation import verdict
    from keras_geneformer.study_report import (
        check_study_directory,
        shown_figure,
        write_study_report,
    )

    check_study_directory(options.output)
    settings = {
        name: getattr(options, name)
        for name in (*_NUMBERS, *_WORDS)
        if getattr(options, name) is not None
    }
    result = run_study(
        options.name,
        options.data,
        output=options.output,
        model=options.model,
        vocabulary=options.vocabulary,
        genes=_genes(options),
        label_key=options.label_key,
        group_key=options.group_key,
        control=options.control,
        start=options.start,
        goal=options.goal,
        alternatives=options.alternatives,
        kinds=options.kinds,
        cells=options.cells,
        folds=options.folds,
        max_length=options.max_length,
        embed=not options.no_map,
        counts_options=counts_options(options),
        **settings,
    )
    drawn = draw_or_say_why_not(lambda: write_study_report(result, options.output))
    published = result.study.published
    for name, value in result.figures.items():
        beside = f" (published: {published[name]})" if name in published else ""
        print(f"  {name:24s} {shown_figure(value)}{beside}")
    if result.study.kind == "states":
        print("\n".join(verdict(result.run)))
    for note in result.notes:
        print(f"note: {note}")
    kept = "effects" if result.study.kind == "states" else "preset"
    print(f"{'report.html, ' if drawn else ''}tables and {kept} in {options.output}")


def _genes(options: argparse.Namespace) -> Any:
    """The gene list as the study takes it; of genes to perturb, their names."""
    from keras_geneformer.studies import named_study

    if options.genes is None or named_study(options.name).kind not in ("perturbation", "states"):
        return options.genes
    return named_genes(options.genes)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
