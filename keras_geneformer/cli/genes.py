"""The verbs that train a classifier of genes and use it: `finetune-genes`, `predict-genes`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from keras_geneformer.cli.finetune_options import add_finetune_options, finetune_settings
from keras_geneformer.cli.output import TABLES, draw_or_say_why_not, file_of, write_table


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `finetune-genes` and `predict-genes`."""
    finetune = add(
        "finetune-genes",
        _finetune_genes,
        "train a classifier on genes of known classes, cross-validated over genes",
        "Writes a preset that `predict-genes` takes, trained on all genes of the list, and beside\n"
        "its weights genes.csv (a row a gene, scored by a model that never saw it), folds.csv,\n"
        "summary.json, history.csv, gene_list.txt (genes that could not be used) and report.html;\n"
        "with --score-all genome.csv. Stopped and run again, it goes on at the next fold.",
        "keras-geneformer finetune-genes cells.dataset --model geneformer_v1_10m "
        "--genes dosage_sensitivity_tfs.csv --output dosage",
        trains=True,
    )
    finetune.add_argument("dataset", help="tokenized cells (from `tokenize`)")
    finetune.add_argument("--model", "--preset", required=True, help="pretrained: name, directory")
    finetune.add_argument(
        "--genes",
        required=True,
        help="table (.csv, .tsv, .parquet) with columns `label`, and `ensembl_id` or `gene_name`",
    )
    finetune.add_argument("--output", required=True, metavar="DIR", help="preset to write")
    finetune.add_argument(
        "--folds",
        type=_folds,
        default=5,
        help="how many; none: train on all genes alone (default: %(default)s)",
    )
    finetune.add_argument(
        "--cells", type=int, metavar="N", help="cells drawn from the dataset (default: all)"
    )
    scored = finetune.add_mutually_exclusive_group()
    scored.add_argument(
        "--score-all", action="store_true", help="score every unlabelled gene that the cells have"
    )
    scored.add_argument(
        "--score", metavar="GENES", help="score these, ids or symbols with commas between them"
    )
    finetune.add_argument(
        "--published",
        action="store_true",
        help="give the published package's AUC as well: over positions, folds weighted",
    )
    finetune.add_argument(
        "--seed", type=int, default=0, help="of every draw (default: %(default)s)"
    )
    _add_vocabulary(finetune)
    add_finetune_options(finetune)

    predict = add(
        "predict-genes",
        _predict_genes,
        "score genes with a classifier of genes",
        "Writes one row a gene: its id and symbol, the likeliest class, the probability of each\n"
        "(means over the cells that hold it), their spread, and the number of cells.",
        "keras-geneformer predict-genes cells.dataset --model dosage --output genes.csv",
    )
    predict.add_argument("dataset", help="tokenized cells (from `tokenize`)")
    predict.add_argument("--model", "--preset", required=True, help="classifier's preset")
    predict.add_argument("--output", required=True, type=file_of(*TABLES), help=".parquet or .csv")
    predict.add_argument(
        "--genes", default="all", help="with commas between them (default: all in the cells)"
    )
    predict.add_argument("--batch-size", type=int, help="cells a batch (default: as memory allows)")
    _add_vocabulary(predict)


def _add_vocabulary(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--vocabulary", help="v1, v2 or a directory (default: that of the cells, or of the model)"
    )


def _folds(text: str) -> int | None:
    if text == "none":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number, nor none") from None


def _finetune_genes(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, GeneVocabulary, finetune_genes

    result = finetune_genes(
        options.model,
        CellDataset.load(options.dataset),
        options.genes,
        folds=options.folds,
        cells_used=options.cells,
        score_all=_names(options.score) if options.score else options.score_all,
        published=options.published,
        output=options.output,
        vocabulary=GeneVocabulary.load(options.vocabulary) if options.vocabulary else None,
        seed=options.seed,
        **finetune_settings(options),
    )
    output = Path(options.output)

    def draw() -> None:
        from keras_geneformer.gene_report import write_gene_report

        write_gene_report(result, output, title=Path(options.genes).stem.replace("_", " "))

    draw_or_say_why_not(draw)
    print(result.text())
    if result.genome is not None:
        print(f"{len(result.genome)} genes without a class scored, in {output / 'genome.csv'}")
    print(f"classifier, tables and pictures in {output}")


def _predict_genes(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, GeneVocabulary, predict_genes

    table = predict_genes(
        options.model,
        CellDataset.load(options.dataset),
        "all" if options.genes == "all" else _names(options.genes),
        vocabulary=GeneVocabulary.load(options.vocabulary) if options.vocabulary else None,
        batch_size=options.batch_size,
        progress=True,
    )
    write_table(table, options.output, index=False)
    print(f"{len(table)} genes scored, in {options.output}")
    for label, count in table["label"].value_counts().items():
        print(f"  {count:6d}  {label}")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
