"""The verb that links genes: `network`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_geneformer.cli.output import (
    MARK,
    TABLES,
    draw_or_say_why_not,
    file_of,
    refuse_foreign_h5ad,
    write_adata,
    write_table,
)


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `network`."""
    network = add(
        "network",
        _network,
        "link genes by their embeddings or by what perturbing them does, and find modules",
        "Takes gene embeddings (from `embed-genes`) or effects on genes (from `perturb` with\n"
        "affected genes). Writes the links, a row each (source, target, weight, cells), as\n"
        ".parquet or .csv; or, as .h5ad, genes as var with their modules, and the weights in\n"
        "varp['geneformer_similarity'] or varp['geneformer_effects'], for scanpy. Pictures of the\n"
        "modules are drawn beside it.",
        "keras-geneformer network genes.parquet --output network.h5ad",
        keras=False,
    )
    network.add_argument("source", help="gene embeddings or effects, .parquet or .csv")
    network.add_argument(
        "--output", required=True, type=file_of(*TABLES, ".h5ad"), help=".parquet, .csv or .h5ad"
    )
    network.add_argument(
        "--neighbours",
        type=_neighbours,
        default=10,
        help="links of a gene at most, the strongest; none: all (default: %(default)s)",
    )
    network.add_argument("--threshold", type=float, help="least weight of a link")
    network.add_argument(
        "--centred", action="store_true", help="take the mean of all genes off embeddings first"
    )
    network.add_argument(
        "--min-cells",
        type=int,
        default=1,
        help="genes (of effects: pairs) that so many cells hold (default: %(default)s)",
    )
    network.add_argument(
        "--vocabulary", help="v1, v2, geneformer_mini or a directory: names genes by symbol"
    )
    network.add_argument(
        "--resolution",
        type=float,
        default=1.0,
        help="of the modules; larger for more of them (default: %(default)s)",
    )
    network.add_argument(
        "--no-modules", action="store_true", help="links alone, without modules and pictures"
    )
    network.add_argument("--seed", type=int, default=0, help="of modules (default: %(default)s)")


def _neighbours(text: str) -> int | None:
    if text == "none":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number, nor none") from None


def _network(options: argparse.Namespace) -> None:
    from keras_geneformer import GeneVocabulary, gene_network

    if options.output.suffix == ".h5ad":
        refuse_foreign_h5ad(options.output)
    network = gene_network(
        options.source,
        neighbours=options.neighbours,
        threshold=options.threshold,
        centred=options.centred,
        min_cells=options.min_cells,
        vocabulary=GeneVocabulary.load(options.vocabulary) if options.vocabulary else None,
    )
    if not options.no_modules:
        network = network.with_modules(options.resolution, options.seed)
    if options.output.suffix == ".h5ad":
        adata = network.to_adata()
        adata.uns[MARK] = "network"
        write_adata(adata, options.output)
    else:
        write_table(network.edges, options.output, index=False)
    kind = "directed links" if network.directed else "links"
    print(f"{len(network.genes)} genes, {len(network.edges)} {kind}, in {options.output}")
    if not options.no_modules:
        _say_modules(network)
        draw_or_say_why_not(lambda: _draw(network, options.output, options.seed))


def _say_modules(network: Any) -> None:
    sizes = network.genes["module"].value_counts()
    for module, hubs in network.hubs(5).groupby("module", sort=False):
        print(f"  module {module}: {sizes[module]} genes ({', '.join(hubs['symbol'])}, …)")


def _draw(network: Any, output: Path, seed: int) -> None:
    from keras_geneformer import plotting

    if not (network.genes["strength"] > 0).any():
        return
    beside = output.with_suffix("")
    matrix = f"{beside}_modules.png"
    plotting.module_matrix(network.genes, network.edges, matrix, title="Links between genes")
    print(f"  {matrix}")
    if network.embedding is not None and len(network.genes) >= 4:
        places = plotting.umap_coordinates(network.embedding, seed=seed)
        genes = f"{beside}_map.png"
        plotting.network_map(places, network.genes, genes, title="Genes by module")
        print(f"  {genes}")
