"""Keras models from tokens to sums of attention weights; they share a backbone's weights."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_geneformer.analysis.attention.reductions import AttentionReduction, WholeAttention
from keras_geneformer.layers.pooling import gene_tokens


def reduction_model(
    backbone: Any, layers: Sequence[int], special: np.ndarray, statistics: bool = True
) -> Any:
    """Attention received by every token, averaged over the cell's genes as queries.

    Args:
        backbone: a `GeneformerBackbone`.
        layers: encoder blocks, from 1.
        special: token ids that are no genes.
        statistics: give those of `AttentionReduction` as well.

    Returns:
        A `keras.Model` with float32 output `(batch, layers, heads, length [+ 5])`: as
        `AttentionReduction` gives it, every gene of a cell of k genes weighing 1/k as a query, and
        zeros beyond the heads of a layer that has fewer than another. No block above the last layer
        runs.
    """
    inputs = backbone.input
    weights = _gene_weights(inputs, special)
    reduced = [
        AttentionReduction(_attention(backbone, layer), statistics, name=f"attention_sums_{layer}")(
            _entering(backbone, layer), inputs["padding_mask"], weights
        )
        for layer in layers
    ]
    return keras.Model(inputs, _stacked(reduced), name="attention_sums")


def whole_model(backbone: Any, layers: Sequence[int]) -> Any:
    """All weights of some layers, `(batch, layers, heads, length, length)`; cells unpadded.

    There are zeros beyond the heads of a layer that has fewer than another.
    """
    whole = [
        WholeAttention(_attention(backbone, layer), name=f"whole_attention_{layer}")(
            _entering(backbone, layer)
        )
        for layer in layers
    ]
    return keras.Model(backbone.input, _stacked(whole), name="whole_attention")


def rollout_model(backbone: Any, layer: int, special: np.ndarray, row: str) -> Any:
    """Attention rollout as its action on one row vector, from the top layer down.

    Args:
        backbone: a `GeneformerBackbone`.
        layer: the encoder block whose output is explained, from 1.
        special: token ids that are no genes.
        row: `"mean"` over the rows of genes, or `"first"`, the row of the first token.

    Returns:
        A `keras.Model` with float32 output `(batch, length)`, whose rows sum to 1.
    """
    inputs = backbone.input
    if row == "first":
        places = ops.cumsum(inputs["token_ids"] * 0 + 1, axis=1)
        weights = ops.cast(ops.equal(places, 1), "float32")
    else:
        weights = _gene_weights(inputs, special)
    for number in range(layer, 0, -1):
        attention = AttentionReduction(
            _attention(backbone, number), statistics=False, name=f"rollout_{number}"
        )
        received = attention(_entering(backbone, number), inputs["padding_mask"], weights)
        weights = 0.5 * weights + 0.5 * ops.mean(received, axis=1)
    return keras.Model(inputs, weights, name="attention_rollout")


def _stacked(by_layer: list[Any]) -> Any:
    """`(batch, heads, ...)` of each layer as one tensor, `(batch, layers, heads, ...)`."""
    most = max(tensor.shape[1] for tensor in by_layer)
    padded = [
        tensor
        if tensor.shape[1] == most
        else ops.pad(
            tensor, [(0, 0), (0, most - tensor.shape[1])] + [(0, 0)] * (len(tensor.shape) - 2)
        )
        for tensor in by_layer
    ]
    return ops.stack(padded, axis=1)


def _attention(backbone: Any, layer: int) -> Any:
    return backbone.get_layer(f"encoder_block_{layer - 1}").attention


def _entering(backbone: Any, layer: int) -> Any:
    """The hidden states that a block takes."""
    name = "embeddings" if layer == 1 else f"encoder_block_{layer - 2}"
    return backbone.get_layer(name).output


def _gene_weights(inputs: Any, special: np.ndarray) -> Any:
    """(batch, length) float32: 1/k at each of a cell's k genes, 0 elsewhere."""
    genes = gene_tokens(inputs["token_ids"], inputs["padding_mask"], special.tolist())
    genes = ops.cast(genes, "float32")
    return genes / ops.sum(genes, axis=1, keepdims=True)
