"""All attention weights of one cell."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_geneformer.analysis.attention.attention_models import whole_model
from keras_geneformer.analysis.attention.wanted import chosen_layers
from keras_geneformer.data.compatibility import check_tokens
from keras_geneformer.data.inference import compile_forward
from keras_geneformer.models.backbone_of import backbone_of


def attention_weights(
    model: Any, token_ids: Any, *, layers: Sequence[int] | int | None = None
) -> np.ndarray:
    """The attention weights of one cell, whole: softmax(q k / sqrt(d)) of every head.

    They take 4 n x n bytes a head and layer, 400 MB for 2048 tokens and the 24 heads of the 6-layer
    model: of many cells ask `attention_by_gene`, `attention_heads` or `attention_rollout`, which
    sum them as they arise.

    Picture: `kg.plotting.attention_matrix`.

    Args:
        model: a `GeneformerBackbone`, a model on one, or the name or directory of a preset.
        token_ids: (n,) of one cell: `cells[i]`.
        layers: encoder blocks, from 1, or negative from the end; all by default.

    Returns:
        (layers, heads, n, n) float32: how much each token (row) attends to each (column); rows sum
        to 1. Where a layer has fewer heads than another, NaN stands beyond them.

    Raises:
        ValueError: no such layer, or no cell that the model takes.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> cell = synthetic_dataset(1)[0][:20]
        >>> weights = attention_weights(tiny_backbone(), cell, layers=[1, 3])
        >>> weights.shape, float(weights.sum(axis=-1).mean().round(4))
        ((2, 4, 20, 20), 1.0)
    """
    backbone = backbone_of(model)
    chosen = chosen_layers(layers, backbone.num_layers)
    ids = np.asarray(token_ids)
    longest = backbone.max_sequence_length
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or not 1 <= len(ids) <= longest:
        raise ValueError(
            f"Received token_ids of type {ids.dtype} and shape {ids.shape}; expected the whole "
            f"numbers of one cell of 1 to {longest} tokens."
        )
    check_tokens(ids, backbone.vocabulary_size)
    ids = ids.astype(np.int32)[None]
    forward = compile_forward(whole_model(backbone, chosen))
    weights = forward({"token_ids": ids, "padding_mask": np.ones_like(ids)})[0]
    heads = np.array([backbone.block_heads[layer - 1] for layer in chosen])
    real = np.arange(weights.shape[1]) < heads[:, None]
    return np.where(real[:, :, None, None], weights, np.float32(np.nan))
