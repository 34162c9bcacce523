"""The verb that looks at attention: `attention`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_geneformer.cli.gene_option import named_genes
from keras_geneformer.cli.model_options import add_input
from keras_geneformer.cli.output import TABLES, draw_or_say_why_not, write_table

_SUMMARY = "attention.txt"
"""What says that a directory was written here."""


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `attention`."""
    attention = add(
        "attention",
        _attention,
        "what each head of a model attends to: classes of genes, ranks, single genes",
        "With --gene-classes, a directory: attention.txt (the findings in words); heads.csv (the\n"
        "attention of each head to genes of a class against others: AUC, rank-sum p, FDR over\n"
        "heads, and the same among genes of like rank); ranks.csv (attention by rank in cells),\n"
        "diversity.csv (how spread each head's attention is), genes.csv, rollout.csv (importance\n"
        "of genes through all layers), and pictures.\n"
        "Without, one table: a row a layer, head and gene, with the mean attention it receives.\n"
        "Attention is relative to an even share over the tokens of a cell: 1 is even.",
        "keras-geneformer attention cells.dataset --model geneformer_v1_10m "
        "--gene-classes human_tfs.csv --output attention",
    )
    add_input(attention)
    attention.add_argument(
        "--output", required=True, type=Path, help="a directory; or a table, .parquet or .csv"
    )
    attention.add_argument(
        "--gene-classes",
        metavar="FILE",
        help="table (.csv, .tsv, .parquet) of genes by `ensembl_id` or `gene_name`; their class in "
        "`label`, or `is_tf` (Yes), else all are of one",
    )
    attention.add_argument(
        "--column", help="column of --gene-classes with the class, where it is called otherwise"
    )
    attention.add_argument(
        "--against", metavar="CLASS", help="compare with this class (default: all other genes)"
    )
    attention.add_argument(
        "--alternative",
        choices=("greater", "less", "two-sided"),
        default="greater",
        help="what is tested: the class receives more than the others (default: %(default)s)",
    )
    attention.add_argument(
        "--min-cells",
        type=int,
        default=5,
        help="compare genes that so many cells hold (default: %(default)s)",
    )
    attention.add_argument(
        "--layers",
        type=_numbers,
        help="encoder blocks from 1, negative from the end, with commas between (default: all)",
    )
    attention.add_argument("--by", metavar="COLUMN", help="obs column: its values each by itself")
    attention.add_argument(
        "--genes",
        default="all",
        help="for a table: names with commas, or a file of them (default: all in the cells)",
    )
    attention.add_argument(
        "--vocabulary", help="v1, v2 or a directory (default: that of the cells, or of the model)"
    )
    attention.add_argument(
        "--batch-size", type=int, help="cells a batch (default: as memory allows)"
    )


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} are no whole numbers with commas between them"
        ) from None


def _attention(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, GeneVocabulary

    table = options.output.suffix in TABLES
    if table and options.gene_classes:
        raise ValueError(
            f"--gene-classes gives several tables and pictures; expected a directory as --output, "
            f"not {options.output}"
        )
    if not table and not options.gene_classes:
        raise ValueError(
            f"--output {options.output} is a directory, which takes --gene-classes; without them "
            "expected a file that ends in .parquet or .csv"
        )
    shared: dict[str, Any] = {
        "by": options.by,
        "batch_size": options.batch_size,
        "vocabulary": GeneVocabulary.load(options.vocabulary) if options.vocabulary else None,
        "progress": True,
    }
    cells = CellDataset.load(options.dataset)
    if table:
        _write_table(options, cells, shared)
    else:
        _write_directory(options, cells, shared)


def _write_table(options: argparse.Namespace, cells: Any, shared: dict[str, Any]) -> None:
    from keras_geneformer import attention_by_gene

    genes = named_genes(options.genes)
    attention_by_gene(
        options.model, cells, genes=genes, layers=options.layers, output=options.output, **shared
    )
    print(f"attention received by genes in {len(cells)} cells, in {options.output}")


def _write_directory(options: argparse.Namespace, cells: Any, shared: dict[str, Any]) -> None:
    from keras_geneformer import attention_heads, attention_rollout
    from keras_geneformer.models.backbone_of import backbone_of
    from keras_geneformer.models.presets import preset_vocabulary
    from keras_geneformer.tokenization.publishing import check_destination, publish_directory

    check_destination(options.output, _ours)
    if shared["vocabulary"] is None and cells.vocabulary is None:
        shared["vocabulary"] = preset_vocabulary(options.model)
    model = backbone_of(options.model)
    found = attention_heads(
        model,
        cells,
        options.gene_classes,
        against=options.against,
        column=options.column,
        alternative=options.alternative,
        layers=options.layers,
        min_cells=options.min_cells,
        **shared,
    )
    layer = -1 if options.layers is None else max(options.layers, key=_from_end(model.num_layers))
    rollout = attention_rollout(model, cells, layer=layer, **shared)
    tables = {
        "heads": found.heads,
        "ranks": found.ranks,
        "diversity": found.diversity,
        "genes": found.genes,
        "rollout": rollout,
    }
    with publish_directory(options.output, _ours) as directory:
        for name, content in tables.items():
            write_table(content, directory / f"{name}.csv", index=False)
        draw_or_say_why_not(lambda: _draw(found, rollout, directory, options))
        (directory / _SUMMARY).write_text(found.text() + "\n", encoding="utf-8")
    print(found.text())
    print(f"tables and pictures in {options.output}")


def _ours(directory: Path) -> bool:
    return (directory / _SUMMARY).is_file()


def _from_end(number: int) -> Callable[[int], int]:
    return lambda layer: layer if layer > 0 else layer + number + 1


def _draw(found: Any, rollout: Any, directory: Path, options: argparse.Namespace) -> None:
    """Pictures of each group of cells (one, without --by)."""
    from keras_geneformer import plotting

    by = options.by
    groups = [None] if by is None else found.diversity[by].drop_duplicates().tolist()
    for number, group in enumerate(groups, start=1):
        ending = "" if group is None else f"_{number}"
        where = "" if group is None else f", {by} {group}"

        def part(table: Any, group: Any = group) -> Any:
            return table if group is None else table[table[by] == group]

        for place, (label, heads) in enumerate(part(found.heads).groupby("gene_class"), start=1):
            which = ending if place == 1 else f"{ending}_class{place}"
            against = heads["against"].iloc[0]
            plotting.head_map(
                heads,
                directory / f"heads{which}.png",
                title=f"Attention to {label} against {against}{where}",
                label="AUC",
            )
            plotting.rank_matched_heads(
                heads,
                directory / f"like_rank{which}.png",
                title=f"Is it rank? Attention to {label}{where}",
            )
        plotting.attention_by_rank(
            part(found.ranks), directory / f"ranks{ending}.png", title=f"Attention by rank{where}"
        )
        plotting.attention_spread(
            part(found.diversity),
            directory / f"entropy{ending}.png",
            title=f"How spread attention is{where}",
        )
        flow = part(rollout)
        often = flow[flow["cells"] >= options.min_cells]
        if len(often):
            plotting.gene_bars(
                often,
                directory / f"rollout{ending}.png",
                gene="symbol",
                value="importance",
                title=f"Importance by attention rollout{where}",
                xlabel="importance / even share",
            )
