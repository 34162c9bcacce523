"""One vector a cell, from a model's hidden states."""

import os
import warnings
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.pooling import (
    check_pooling,
    gene_tokens,
    pool,
    pooled_states,
    special_ids,
)
from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.data.inference import compile_forward, inference_batches, run_batches
from keras_geneformer.models.backbone_of import backbone_of


def embed_cells(
    model_or_preset: Any,
    cells_or_adata: Any,
    *,
    layer: int = -2,
    pooling: str = "mean",
    batch_size: int | None = None,
    key_added: str = "X_geneformer",
    vocabulary: Any = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Embed cells.

    No block above `layer` and no head is run.

    Args:
        model_or_preset: a `GeneformerBackbone`, a model on one, or the name or directory of a
            preset.
        cells_or_adata: a `CellDataset`; or an AnnData of counts, which is tokenized first and gets
            the embedding written into it.
        layer: the hidden states taken: after so many encoder blocks, negative from the end. The
            second to last by default (the published package's `emb_layer=-1`).
        pooling: `"mean"` over the cell's genes, never padding, `<cls>` or `<eos>`; `"cls"`, the
            state of `<cls>`; `"first"`, the state of the first token, whatever it is.
        batch_size: cells a batch; by default as many as 8192 tokens hold.
        key_added: with an AnnData, the key in `obsm` for the embedding, float32. A cell that the
            tokenizer dropped has a row of NaN there, and False in
            `obs[key_added + "_embedded"]`.
        vocabulary: with an AnnData, the `GeneVocabulary` to tokenize with; that of a given preset
            by default.
        progress: show a bar.

    Returns:
        (cells, hidden_dim) float32, one row a cell, indexed and ordered as `cells.obs` or
        `adata.obs`.

    Raises:
        ValueError: the cells are of another vocabulary, too long or none; no such layer or pooling;
            an AnnData without a vocabulary, or with cell names that are not unique.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> embed_cells(tiny_backbone(), synthetic_dataset(5)).shape
        (5, 32)
    """
    backbone = backbone_of(model_or_preset)
    if hasattr(cells_or_adata, "token_ids"):
        return _embed(backbone, cells_or_adata, layer, pooling, batch_size, progress)
    adata = cells_or_adata
    if not hasattr(adata, "obsm"):
        raise ValueError(
            f"Received a {type(adata).__name__} of cells; expected a CellDataset or an AnnData."
        )
    cells = _tokenize(adata, model_or_preset, vocabulary)
    embedded = _embed(backbone, cells, layer, pooling, batch_size, progress)
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


def _embed(
    backbone: Any,
    cells: Any,
    layer: int,
    pooling: str,
    batch_size: int | None,
    progress: bool,
) -> pd.DataFrame:
    model = pooled_states(backbone, layer, pooling)
    check_vocabulary(
        cells,
        backbone.vocabulary_checksum,
        backbone.vocabulary_size,
        backbone.max_sequence_length,
        backbone.special_token_ids,
    )
    special = special_ids(cells, backbone)
    check_pooling(cells, pooling, special)
    embedding = np.empty((len(cells), backbone.hidden_dim), dtype=np.float32)
    batches = inference_batches(cells, batch_size, backbone.max_sequence_length)
    for rows, inputs, states in run_batches(compile_forward(model), batches, progress, "embed"):
        genes = gene_tokens(inputs["token_ids"], inputs["padding_mask"], special)
        embedding[rows] = pool(states, genes, pooling)
    return pd.DataFrame(embedding, index=cells.obs.index)


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
