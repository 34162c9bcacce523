"""Which genes have an impact at all: a mixture of two normal distributions of their means."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.statistics.comparison import Comparison
from keras_geneformer.analysis.statistics.effect_values import GeneValues, gene_values
from keras_geneformer.analysis.statistics.gene_labels import GeneLabels, sort_rows
from keras_geneformer.analysis.statistics.peer_tests import peer_table


def impact_of_genes(
    values: GeneValues, vocabulary: Any, published: bool, tokens: GeneLabels | None = None
) -> pd.DataFrame:
    """Mean similarity of each gene, and whether it belongs to the component of impact."""
    labels = tokens or GeneLabels(values.genes, values.tokens, vocabulary, published)
    result = pd.DataFrame(labels.columns(values.genes))
    result["Test_avg_shift"] = values.means
    result = _with_impact(result, values, published)
    result["N_Detections"] = values.detections
    return sort_rows(result, {"Impact_component": False, "Test_avg_shift": True}, published)


def impact_of_affected_genes(
    table: pd.DataFrame, everything: pd.DataFrame, vocabulary: Any, published: bool
) -> pd.DataFrame:
    """The same of the genes that perturbing one gene affects.

    Args:
        table: the gene_cosine of that one gene's perturbation.
        everything: effects whose genes and tokens name the affected ones.
        vocabulary: names them too.
        published: see `perturbation_stats`.
    """
    values = gene_values(table, key="state")
    labels = _labels(everything, vocabulary, published)
    order = np.argsort([labels.token(gene) for gene in values.genes], kind="stable")
    return impact_of_genes(_reordered(values, order), vocabulary, published, labels)


def impact_of_pairs(
    table: pd.DataFrame,
    anchor: str,
    vocabulary: Any,
    published: bool,
    comparison: Comparison | None,
) -> pd.DataFrame:
    """What perturbing a gene along with the anchor does beyond the sum of both alone.

    Cells count that hold all three: the anchor alone, the gene alone, and both.

    Raises:
        ValueError: no cell does.
    """
    text = table["gene"].astype(str)
    partner = text.map({name: _partner(name, anchor) for name in text.unique()})
    pairs = table.assign(gene=partner.astype(str))[partner.notna().to_numpy()]
    of = [["cell", "gene", "value"], ["cell", "value"], ["cell", "gene", "value"]]
    kinds = (pairs, table[text == anchor], table[~text.str.contains("+", regex=False)])
    combo, alone, other = (rows[names].astype({"cell": str}) for rows, names in zip(kinds, of))
    joined = (
        combo.rename(columns={"value": "combo"})
        .merge(alone.rename(columns={"value": "anchor"}), on="cell")
        .merge(other.astype({"gene": str}).rename(columns={"value": "own"}), on=["cell", "gene"])
    )
    if joined.empty:
        raise ValueError(
            f"effects: no cell holds {anchor} alone, another gene alone, and both together; "
            "expected all three, as perturb(..., anchor=...) gives them."
        )
    joined["sum"] = 1 - ((1 - joined["anchor"]) + (1 - joined["own"]))
    joined["beyond"] = joined["combo"] - joined["sum"]
    labels = _labels(table, vocabulary, published)
    tokens = {name: labels.token(name) for name in joined["gene"].unique()}
    joined["token"] = joined["gene"].map(tokens)
    values = {
        name: gene_values(joined.assign(value=joined[name]))
        for name in ("anchor", "own", "sum", "combo", "beyond")
    }
    genes = values["combo"]
    result = pd.DataFrame(labels.columns(genes.genes))
    result["Anchor_shift"] = values["anchor"].means
    result["Test_token_shift"] = values["own"].means
    result["Sum_of_indiv_shifts"] = values["sum"].means
    result["Combo_shift"] = genes.means
    result["Combo_minus_sum_shift"] = values["beyond"].means
    result = _with_impact(result, genes, published)
    result["N_Detections"] = 0 if published else genes.detections
    if comparison is not None:
        donors = comparison.donors(genes)
        tested = peer_table(
            values["beyond"],
            None,
            None,
            donors=donors,
            test=comparison.test,
            level=comparison.level,
        )
        result["Combo_minus_sum_pval"] = tested.pop("p")
        result["Combo_minus_sum_FDR"] = comparison.fdr(result["Combo_minus_sum_pval"], genes)
        result["Sig"] = (result["Combo_minus_sum_FDR"] < 0.05).astype(int)
        result = pd.concat([result, tested.drop(columns="null_mean")], axis=1)
    by = {"Impact_component": False, "Combo_minus_sum_shift": True}
    return sort_rows(result, by, published)


def anchored_impact(
    table: pd.DataFrame,
    anchor: str,
    combination: bool | None,
    vocabulary: Any,
    comparison: Comparison | None,
) -> pd.DataFrame:
    """What the anchor does with other genes, or to them.

    Raises:
        ValueError: the table holds neither, or both and `combination` does not say which is meant.
    """
    if vocabulary is not None:
        position = int(vocabulary.positions_of([anchor])[0])
        anchor = str(vocabulary.genes[position]) if position >= 0 else anchor
    cosine = table[table["measure"] == "cell_cosine"]
    names = cosine["gene"].astype(str)
    unique = names.unique()
    paired = any("+" in name and anchor in name.split("+") for name in unique)
    affected = table[(table["measure"] == "gene_cosine") & (table["gene"] == anchor)]
    if combination is None:
        if paired and len(affected):
            raise ValueError(
                f"effects: they hold both pairs with {anchor} and what it does to other genes; "
                "give combination=True for pairs, or False."
            )
        combination = paired
    if combination and paired:
        return impact_of_pairs(cosine, anchor, vocabulary, comparison is None, comparison)
    if not combination and len(affected):
        if comparison is not None and comparison.test != "rank-sum":
            raise ValueError(
                f"Received test={comparison.test!r} for what {anchor} does to other genes, which "
                "is not tested; leave it and donor_key out."
            )
        return impact_of_affected_genes(affected, table, vocabulary, comparison is None)
    raise ValueError(
        f"effects: there are no {'pairs with' if combination else 'affected genes of'} {anchor}. "
        f"perturb(..., {'anchor=...' if combination else 'affected_genes=True'}) gives them."
    )


def _with_impact(result: pd.DataFrame, values: GeneValues, published: bool) -> pd.DataFrame:
    """Adds `Impact_component`, `Impact_component_percent` and the probability of impact.

    The published package takes the first component for that of impact, whichever it is. Where it
    is the one of high similarity, its rule calls impact what lies at or below the lower mean.
    """
    from sklearn.mixture import GaussianMixture

    if len(values) < 2:
        raise ValueError(
            f"effects: a mixture of two components needs two genes or more, not {len(values)}."
        )
    centre, unit = 0.0, 1.0
    if not published:
        # The fit keeps variances above 1e-6, and cosines of long cells vary by less.
        centre, unit = float(values.means.mean()), float(values.means.std())
        if not unit > 0:
            raise ValueError(
                f"effects: the means of all {len(values)} genes are the same, {centre:.6g}, so "
                "that there are no two components to tell apart."
            )
    mixture = GaussianMixture(n_components=2, random_state=0)
    mixture.fit((values.means[:, None] - centre) / unit)
    means = mixture.means_[:, 0]
    impact = 0 if published else int(np.argmin(means))
    low, high = means[impact], means[1 - impact]

    def probability(value: np.ndarray) -> np.ndarray:
        value = (value - centre) / unit
        posterior = mixture.predict_proba(value[:, None])[:, impact]
        return np.select([value > high, value < low], [0.0, 1.0], posterior)

    def component(value: np.ndarray) -> np.ndarray:
        value = (value - centre) / unit
        predicted = mixture.predict(value[:, None]) == impact
        return np.select([value > high, value < low], [0, 1], predicted.astype(int))

    result["Impact_component"] = component(values.means)
    result["Impact_component_percent"] = values.mean_of(component(values.value) * 100.0)
    if not published:
        result["Impact_probability"] = probability(values.means)
    return result


def _partner(name: str, anchor: str) -> str | None:
    """The other gene, or genes, of a combination with the anchor; None of another perturbation."""
    parts = name.split("+")
    if len(parts) < 2 or anchor not in parts:
        return None
    parts.remove(anchor)
    return "+".join(parts)


def _labels(table: pd.DataFrame, vocabulary: Any, published: bool) -> GeneLabels:
    single = table.drop_duplicates("gene")
    return GeneLabels(
        single["gene"].to_numpy(dtype=object).astype(str),
        single["token"].to_numpy(np.int64),
        vocabulary,
        published,
    )


def _reordered(values: GeneValues, order: Sequence[int] | np.ndarray) -> GeneValues:
    """The same values with their genes in another order."""
    place = np.empty(len(order), dtype=np.int64)
    place[np.asarray(order)] = np.arange(len(order))
    gene = place[values.gene]
    rows = np.argsort(gene, kind="stable")
    return GeneValues(
        genes=values.genes[order],
        tokens=values.tokens[order],
        gene=gene[rows],
        cell=values.cell[rows],
        cells=values.cells,
        value=values.value[rows],
        order=values.order[rows],
    )
