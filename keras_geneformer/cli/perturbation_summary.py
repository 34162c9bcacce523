"""What perturbing came to, in a few lines and a picture."""

from pathlib import Path
from typing import Any

from keras_geneformer.cli.output import draw_or_say_why_not

_NAMED, _DRAWN = 5, 20


def say_and_draw(effects: Path, output: Path, vocabulary: Any) -> None:
    """Print which genes move cells most, and draw them beside the output.

    Args:
        effects: the parquet file.
        output: what the user asked for, it or a csv; the picture has its name.
        vocabulary: to name genes by symbols; None: by what the file has.
    """
    from keras_geneformer import plotting
    from keras_geneformer.analysis.perturbation.effect_files import effects_metadata
    from keras_geneformer.analysis.perturbation.effect_summary import (
        effect_summary,
        strongest_genes,
    )

    states = effects_metadata(effects).get("states")
    summary = effect_summary(effects)
    also = f" and {effects}" if effects != output else ""
    if summary.empty:
        print(f"no effects in {output}{also}")
        return
    genes, words = strongest_genes(summary, states["goal"] if states else None)
    drawn_genes = genes.iloc[:_DRAWN]
    if states and len(genes) > _DRAWN:
        # Both ends: the genes named move cells to the goal, and others may move them away further.
        half = _DRAWN // 2
        drawn_genes = genes.iloc[[*range(half), *range(-half, 0)]]
    named = genes.iloc[:_NAMED]
    computed = summary[summary["measure"] != "screen"]["gene"].nunique()
    scored = summary[summary["measure"] == "screen"]["gene"].nunique()
    of = f", chosen among {scored} by their scores," * (scored > 0)
    print(f"effects of {computed} perturbations{of} in {output}{also}")
    print(f"strongest ({words}, mean over the cells that have the gene):")
    for gene, cells, effect in zip(named["gene"], named["cells"], named["effect"]):
        name, plural = gene_label(gene, vocabulary), "s" * (cells > 1)
        print(f"  {name:20s} {effect:.3g} in {cells} cell{plural}")
    picture = output.with_suffix(".png")
    bars = drawn_genes.assign(
        name=[gene_label(gene, vocabulary) for gene in drawn_genes["gene"]],
        error=drawn_genes["error"].fillna(0.0),
    )
    drawn = draw_or_say_why_not(
        lambda: plotting.change_bars(
            bars,
            picture,
            gene="name",
            value="effect",
            error="error",
            title="Genes that move cells most",
            xlabel=words,
        )
    )
    if drawn:
        print(f"picture in {picture}")


def gene_label(gene: str, vocabulary: Any) -> str:
    """Symbols of one or several genes perturbed together; the ids where there are none.

    Example:
        >>> from keras_geneformer.testing import tiny_vocabulary
        >>> gene_label("ENSG90000000003+ENSG90000000004", tiny_vocabulary())
        'GENE3+GENE4'
    """
    ids = gene.split("+")
    tokens = [-1] if vocabulary is None else vocabulary.tokens_of(ids)
    if min(tokens) < 0:
        return gene
    return "+".join(map(str, vocabulary.symbols_of(tokens)))
