"""The options of every verb that reads counts."""

import argparse
from typing import Any


def add_counts_options(verb: argparse.ArgumentParser) -> None:
    """Adds `--gene-key`, `--n-counts-key`, `--layer` and `--no-check-counts`."""
    verb.add_argument(
        "--gene-key",
        default="ensembl_id",
        help="var column with gene ids or symbols, or var_names (default: %(default)s)",
    )
    verb.add_argument(
        "--n-counts-key",
        default="n_counts",
        help="obs column with the cells' total counts (default: %(default)s; where there is none, "
        "total_counts, else the sum over all genes), or sum: always the sum over all genes",
    )
    verb.add_argument("--layer", help="layer with the counts, or raw (default: X)")
    verb.add_argument(
        "--no-check-counts",
        action="store_true",
        help="accept values that look like logarithms (default: refuse them)",
    )


def counts_options(options: argparse.Namespace) -> dict[str, Any]:
    """What these options mean to the functions that read counts."""
    return {
        "gene_key": None if options.gene_key == "var_names" else options.gene_key,
        "n_counts_key": None if options.n_counts_key == "sum" else options.n_counts_key,
        "layer": options.layer,
        "check_counts": not options.no_check_counts,
    }
