"""How well cell types hold together in an embedding, and how well batches mix."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

LABEL_MEASURES = ("silhouette_label", "nmi", "ari", "clisi")
"""Measures of cell types holding together."""

BATCH_MEASURES = ("silhouette_batch", "ilisi", "kbet", "graph_connectivity")
"""Measures of batches mixing."""

_NEIGHBOURS = 90
_COMPONENTS = 50
_BIOLOGY = 0.6


def batch_effects(
    embedding_or_adata: Any,
    batch_key: str,
    label_key: str,
    *,
    counts: Any = None,
    obs: pd.DataFrame | None = None,
    key: str = "X_geneformer",
    max_cells: int | None = 20_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure batch effects in an embedding, beside PCA and raw counts of the same cells.

    The measures are those of the benchmark of Luecken et al. (Nature Methods 2022), scaled so that
    0 is worst and 1 best, from scikit-learn and scib-metrics. Of cell types: `silhouette_label`;
    `nmi` and `ari` of k-means with as many clusters as there are types; `clisi`, how pure the 90
    nearest cells are. Of batches: `silhouette_batch`, 1 - |silhouette|, within each type; `ilisi`,
    how many batches are among the 90 nearest; `kbet`, the share of neighbourhoods (50 cells, at
    most half the type) that a chi-square test takes for mixed, within each type;
    `graph_connectivity`, whether the cells of a type hang together by 15 neighbours. Neighbours are
    exact. `label_score` and `batch_score` are the means of the four, and `total` is
    0.6 label_score + 0.4 batch_score, as there. (`kbet` looks for neighbours within the type, where
    that benchmark first repairs disconnected types by diffusion.)

    Batches that differ in which cell types they hold cannot be mixed as well as others; compare
    rows of one table, not of two.

    Picture: `kg.plotting.measure_table`.

    Args:
        embedding_or_adata: an AnnData of raw counts with the embedding in `obsm[key]` (from
            `embed_cells`); or the DataFrame that `embed_cells` returns.
        batch_key, label_key: columns of obs: the batch of a cell (technology, donor), and its type.
        counts: with a DataFrame, an AnnData of raw counts in which its cells are found by name;
            without it the table has the embedding alone.
        obs: with a DataFrame, where the two columns are; that of `counts` by default.
        key: the key in `obsm`.
        max_cells: as many are drawn, with `seed`, where there are more: time and memory grow
            with the square. None for all.
        seed: of that draw and of the components.

    Returns:
        One row a representation (`geneformer`, `pca`: 50 components of log(1 + counts per 10,000),
        `counts`), one column a measure, then the three scores. `attrs` says the number of `cells`,
        and of those `left_out`, which have no embedding (NaN), batch or type.

    Raises:
        ValueError: no such column or embedding; one batch or one type alone; fewer cells than
            neighbours are looked at; cells without counts.
        ImportError: scib-metrics is not installed.

    Example:
        >>> from keras_geneformer.testing import synthetic_cells
        >>> adata = synthetic_cells(120)
        >>> adata.obsm["X_geneformer"] = adata.X.toarray()[:, :45]
        >>> batch_effects(adata, "donor", "cell_type").shape
        (3, 11)
    """
    embedding, obs, counts = _parts(embedding_or_adata, counts, obs, key)
    check_columns(obs, batch_key, label_key)
    known = np.isfinite(embedding).all(axis=1)
    known &= obs[[batch_key, label_key]].notna().all(axis=1).to_numpy()
    rows = np.flatnonzero(known)
    left_out = len(obs) - len(rows)
    if max_cells is not None and len(rows) > max_cells:
        drawn = np.random.default_rng(seed).choice(rows, max_cells, replace=False)
        rows = np.sort(drawn)
    batches = pd.factorize(obs[batch_key].astype(str).to_numpy()[rows])[0]
    labels = pd.factorize(obs[label_key].astype(str).to_numpy()[rows])[0]
    for what, column, codes in (("batch", batch_key, batches), ("type", label_key, labels)):
        if len(np.unique(codes)) < 2:
            raise ValueError(
                f"All {len(rows)} cells are of one {what} ({column}); expected two or more, to be "
                "compared."
            )
    if len(rows) <= _NEIGHBOURS:
        raise ValueError(
            f"There are {len(rows)} cells with an embedding, a batch and a type; expected more "
            f"than {_NEIGHBOURS}, as many neighbours are looked at."
        )
    scib = _scib()
    table = pd.DataFrame(
        {
            name: _measured(scib, values, batches, labels, seed)
            for name, values in _representations(embedding[rows], counts, rows, seed)
        }
    ).T
    table["label_score"] = table[list(LABEL_MEASURES)].mean(axis=1)
    table["batch_score"] = table[list(BATCH_MEASURES)].mean(axis=1)
    table["total"] = _BIOLOGY * table["label_score"] + (1 - _BIOLOGY) * table["batch_score"]
    table.index.name = "representation"
    table.attrs = {"cells": len(rows), "left_out": left_out}
    return table


def check_columns(obs: pd.DataFrame, *columns: str) -> None:
    """Refuses cells without an obs column.

    Raises:
        ValueError: a column is missing.
    """
    for column in columns:
        if column not in obs:
            raise ValueError(
                f"The cells have no column {column!r} in obs; it has "
                f"{', '.join(map(str, obs.columns)) or 'no columns'}."
            )


def _parts(given: Any, counts: Any, obs: pd.DataFrame | None, key: str) -> tuple[Any, Any, Any]:
    """The embedding, obs and counts of the same cells, in the same order."""
    if hasattr(given, "obsm"):
        if key not in given.obsm:
            raise ValueError(
                f"The AnnData has no obsm[{key!r}]; it has {', '.join(given.obsm) or 'none'}. Call "
                "embed_cells(model, adata) first."
            )
        return np.asarray(given.obsm[key], dtype=np.float32), given.obs, given.X
    if not isinstance(given, pd.DataFrame):
        raise ValueError(
            f"Received a {type(given).__name__}; expected an AnnData, or the DataFrame that "
            "embed_cells returns."
        )
    names = given.index.astype(str)
    matrix = None
    if counts is not None:
        matrix = counts.X[_rows_of(names, counts.obs_names, "counts")]
        obs = counts.obs if obs is None else obs
    if obs is None:
        raise ValueError("With an embedding as a DataFrame, obs or counts is needed: pass either.")
    return given.to_numpy(np.float32), obs.iloc[_rows_of(names, obs.index, "obs")], matrix


def _rows_of(names: pd.Index, there: pd.Index, what: str) -> np.ndarray:
    there = there.astype(str)
    if not there.is_unique:
        raise ValueError(f"Cell names are not unique in {what}: make them so first.")
    rows = there.get_indexer(names)
    missing = names[rows < 0]
    if len(missing):
        raise ValueError(
            f"{len(missing)} of {len(names)} cells of the embedding are not in {what}, first "
            f"{', '.join(map(repr, missing[:3]))}."
        )
    return rows


def _representations(
    embedding: np.ndarray, counts: Any, rows: np.ndarray, seed: int
) -> Iterator[tuple[str, np.ndarray]]:
    yield "geneformer", embedding
    if counts is not None:
        chosen = sp.csr_matrix(counts[rows], dtype=np.float32)
        yield "pca", principal_components(chosen, seed)
        yield "counts", chosen.toarray()


def principal_components(counts: sp.csr_matrix, seed: int = 0) -> np.ndarray:
    """The first 50 principal components of log(1 + counts per 10,000).

    Args:
        counts: (cells, genes) raw counts.
        seed: of the solver.

    Returns:
        (cells, at most 50) float32.

    Raises:
        ValueError: a cell has no counts.
    """
    from sklearn.decomposition import PCA

    totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    if (totals <= 0).any():
        raise ValueError(f"{int((totals <= 0).sum())} cells have no counts: leave them out.")
    logarithms = counts.astype(np.float64)
    logarithms.data = np.log1p(logarithms.data * np.repeat(1e4 / totals, np.diff(counts.indptr)))
    number = min(_COMPONENTS, *(side - 1 for side in counts.shape))
    solver = PCA(number, svd_solver="arpack", random_state=seed)
    return solver.fit_transform(logarithms).astype(np.float32)


def _measured(
    scib: Any, values: np.ndarray, batches: np.ndarray, labels: np.ndarray, seed: int
) -> dict[str, float]:
    from sklearn import metrics
    from sklearn.cluster import KMeans

    near = _neighbours(scib, values, _NEIGHBOURS)
    types = len(np.unique(labels))
    clusters = KMeans(types, n_init=10, random_state=seed).fit_predict(values)
    measures = {
        "silhouette_label": (metrics.silhouette_score(values, labels) + 1) / 2,
        "nmi": metrics.normalized_mutual_info_score(labels, clusters),
        "ari": metrics.adjusted_rand_score(labels, clusters),
        "clisi": scib.clisi_knn(near, labels),
        "silhouette_batch": _batch_silhouette(values, batches, labels),
        "ilisi": scib.ilisi_knn(near, batches),
        "kbet": _kbet(scib, values, batches, labels),
        "graph_connectivity": scib.graph_connectivity(near.subset_neighbors(15), labels),
    }
    return {name: float(value) for name, value in measures.items()}


def _neighbours(scib: Any, values: np.ndarray, number: int) -> Any:
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=number).fit(values)
    distances, indices = search.kneighbors(values)
    return scib.nearest_neighbors.NeighborsResults(indices, distances)


def _mixed_types(batches: np.ndarray, labels: np.ndarray, fewest: int) -> Iterator[np.ndarray]:
    """The cells of each type that stands in two batches or more, and has so many cells."""
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        number = len(np.unique(batches[rows]))
        if len(rows) >= fewest and 2 <= number < len(rows):
            yield rows


def _batch_silhouette(values: np.ndarray, batches: np.ndarray, labels: np.ndarray) -> float:
    """The mean over types of the mean of 1 - |silhouette of the batches|."""
    from sklearn.metrics import silhouette_samples

    widths = [
        np.mean(1 - np.abs(silhouette_samples(values[rows], batches[rows])))
        for rows in _mixed_types(batches, labels, 3)
    ]
    return float(np.mean(widths)) if widths else np.nan


def _kbet(scib: Any, values: np.ndarray, batches: np.ndarray, labels: np.ndarray) -> float:
    """The mean over types of the share of neighbourhoods within the type that pass for mixed."""
    shares = []
    for rows in _mixed_types(batches, labels, 10):
        codes = np.unique(batches[rows], return_inverse=True)[1]
        near = _neighbours(scib, values[rows], min(50, len(rows) // 2))
        shares.append(scib.kbet(near, codes)[0])
    return float(np.mean(shares)) if shares else np.nan


def _scib() -> Any:
    try:
        import scib_metrics
    except ImportError as error:
        raise ImportError(
            "measuring batch effects needs scib-metrics: pip install 'keras_geneformer[scib]'"
        ) from error
    return scib_metrics
