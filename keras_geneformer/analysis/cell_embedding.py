"""One vector a cell, from a model's hidden states."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.cell_vectors import CellVectors
from keras_geneformer.analysis.embedding_files import EmbeddingWriter
from keras_geneformer.analysis.embedding_formats import check_output
from keras_geneformer.analysis.perturbation.identity import (
    cells_checksum,
    model_checksum,
    obs_checksum,
)


def embed_cells(
    model_or_preset: Any,
    cells_or_adata: Any,
    *,
    layer: int = -2,
    pooling: str = "mean",
    task: str | None = None,
    dtype: str | None = None,
    batch_size: int | None = None,
    key_added: str = "X_geneformer",
    vocabulary: Any = None,
    output: str | os.PathLike[str] | None = None,
    resume: bool = True,
    progress: bool = False,
) -> Any:
    """Embed cells.

    No block above `layer` and no head is run.

    With `pooling="attention"`, which needs no training, the weight of a gene is the attention that
    it receives in the block whose output `layer` is: the weight that the cell's genes give to it
    as queries, summed over queries and heads, divided by what all genes of the cell receive
    together. What `<cls>` and `<eos>` give or receive does not count.

    Picture: `kg.plotting.umap_coordinates`, then `kg.plotting.embedding_map`.

    Args:
        model_or_preset: a `GeneformerBackbone`, a model on one, or the name or directory of a
            preset.
        cells_or_adata: a `CellDataset`; or an AnnData of counts, which is tokenized first and gets
            the embedding written into it.
        layer: the hidden states taken: after so many encoder blocks, negative from the end. The
            second to last by default (the published package's `emb_layer=-1`).
        pooling: `"mean"` over the cell's genes, never padding, `<cls>` or `<eos>`; `"cls"`, the
            state of `<cls>`; `"first"`, the state of the first token, whatever it is;
            `"attention"`, the mean over genes weighted as above; `"trained_attention"`, by the
            `AttentionPooling` that a `GeneformerMultiTaskClassifier` was trained with, at
            `layer=-1`.
        task: with `"trained_attention"`, the task whose pooling it is; needed where there are
            several.
        dtype: what the model computes in: `"float32"`, `"bfloat16"`, or as it was loaded. Vectors
            are float32, and pooled in float64, in any case.
        batch_size: cells a batch; by default as many as 8192 tokens hold.
        key_added: with an AnnData, the key in `obsm` for the embedding, float32. A cell that the
            tokenizer dropped has a row of NaN there, and False in
            `obs[key_added + "_embedded"]`.
        vocabulary: with an AnnData, the `GeneVocabulary` to tokenize with; that of a given preset
            by default.
        output: with a `CellDataset`, a path that ends in .parquet, .csv, .h5ad or .zarr. The
            vectors are then written to it and do not gather in memory; the last two hold obs and
            `obsm[key_added]`. It appears when it is complete. Until then vectors stand in
            `<output>.parts/`, from where the same call goes on after a kill.
        resume: False to begin an output anew.
        progress: show a bar.

    Returns:
        (cells, hidden_dim) float32, one row a cell, indexed and ordered as `cells.obs` or
        `adata.obs`; with `output` its path.

    Raises:
        ValueError: the cells are of another vocabulary, too long or none; no such layer, pooling,
            task or dtype; an AnnData without a vocabulary, or with cell names that are not unique;
            an output of another suffix, of an AnnData, or begun with other settings.
        FileExistsError: an .h5ad or .zarr of that name exists and holds no embedding of ours. A
            table is replaced.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> embed_cells(tiny_backbone(), synthetic_dataset(5)).shape
        (5, 32)
    """
    reading: dict[str, Any] = {"layer": layer, "pooling": pooling, "task": task, "dtype": dtype}
    if hasattr(cells_or_adata, "token_ids"):
        if output is not None:
            check_output(output)
        vectors = CellVectors(model_or_preset, cells_or_adata, batch_size=batch_size, **reading)
        if output is None:
            return _embed(vectors, progress)
        reading["batch_size"] = batch_size
        return _embed_to_file(vectors, output, key_added, resume, progress, reading)
    adata = cells_or_adata
    if not hasattr(adata, "obsm"):
        raise ValueError(
            f"Received a {type(adata).__name__} of cells; expected a CellDataset or an AnnData."
        )
    if output is not None:
        raise ValueError(
            "Received an AnnData and an output: the embedding goes into adata.obsm. To write a "
            "file, give the cells as a CellDataset."
        )
    cells = _tokenize(adata, model_or_preset, vocabulary)
    vectors = CellVectors(model_or_preset, cells, batch_size=batch_size, **reading)
    embedded = _embed(vectors, progress)
    dropped = adata.n_obs - len(embedded)
    if dropped:
        warnings.warn(
            f"{dropped} of {adata.n_obs} cells were dropped by the tokenizer: their rows in "
            f"obsm[{key_added!r}] are NaN, and obs['{key_added}_embedded'] is False.",
            stacklevel=2,
        )
    aligned = embedded.reindex(adata.obs_names)
    adata.obsm[key_added] = aligned.to_numpy(dtype=np.float32)
    adata.obs[f"{key_added}_embedded"] = adata.obs_names.isin(embedded.index)
    return aligned


def _embed(vectors: CellVectors, progress: bool) -> pd.DataFrame:
    embedding = np.empty((len(vectors.cells), vectors.hidden_dim), dtype=np.float32)
    for rows, values in vectors.batches(progress):
        embedding[rows] = values
    return pd.DataFrame(embedding, index=vectors.cells.obs.index)


def _embed_to_file(
    vectors: CellVectors,
    output: str | os.PathLike[str],
    key: str,
    resume: bool,
    progress: bool,
    settings: dict[str, Any],
) -> Path:
    settings = settings | {
        "model_checksum": model_checksum(vectors.network),
        "cells_checksum": cells_checksum(vectors.cells),
        "obs_checksum": obs_checksum(vectors.cells.obs),
        "batches": len(vectors),
        "key": key,
    }
    obs, dim = vectors.cells.obs, vectors.hidden_dim
    writer = EmbeddingWriter(output, settings, obs, dim, key, resume)
    if writer.finished:
        return Path(output)
    try:
        for rows, values in vectors.batches(progress, start=writer.batches):
            writer.add(rows, values)
        return writer.finish()
    finally:
        writer.close()


def _tokenize(adata: Any, model_or_preset: Any, vocabulary: Any) -> Any:
    from keras_geneformer.models.presets import preset_vocabulary
    from keras_geneformer.tokenization.tokenizer import RankValueTokenizer

    if not adata.obs_names.is_unique:
        raise ValueError(
            "The AnnData's cell names are not unique, so that embeddings could not be put back: "
            "call adata.obs_names_make_unique() first."
        )
    if vocabulary is None and isinstance(model_or_preset, (str, os.PathLike)):
        vocabulary = preset_vocabulary(model_or_preset)
    if vocabulary is None:
        raise ValueError(
            "To embed an AnnData it must be tokenized: pass vocabulary=GeneVocabulary.load(...), "
            "or a preset that holds its vocabulary."
        )
    return RankValueTokenizer(vocabulary)(adata)
