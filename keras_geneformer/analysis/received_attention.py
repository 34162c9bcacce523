"""The attention that each token receives in a block, beside the block's hidden states."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_geneformer.analysis.attention.attention_models import reduction_model


def received_attention_model(backbone: Any, layer: int) -> Any:
    """A model from tokens to a layer's hidden states and the attention received in its block.

    Args:
        backbone: a `GeneformerBackbone`.
        layer: as in `GeneformerBackbone.hidden_state_model`.

    Returns:
        A `keras.Model` with float32 output `(batch, length, hidden_dim + 1)`: the states, then what
        each token receives, as `AttentionReduction` gives it, summed over heads.

    Raises:
        ValueError: there is no such layer, or it is that of the embeddings, which has no attention.
    """
    model = backbone.hidden_state_model(layer)
    index = layer + backbone.num_layers + 1 if layer < 0 else layer
    if index == 0:
        raise ValueError(
            f'Received layer={layer} with pooling="attention", but no attention comes before the '
            "embeddings: choose a layer from 1 on, or another pooling."
        )
    special = np.array(backbone.special_token_ids, dtype=np.int64)
    received = reduction_model(backbone, [index], special, statistics=False)
    of_tokens = ops.sum(received.output[:, 0], axis=1)[:, :, None]
    states = ops.cast(model.output, "float32")
    output = ops.concatenate([states, of_tokens], axis=-1)
    return keras.Model(model.input, output, name=f"{model.name}_attention")


def pool_by_attention(states: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """The mean of the genes' states, each weighted with the attention that it receives.

    Args:
        states: (B, N, D + 1), from `received_attention_model`.
        genes: (B, N) whether a token is a gene.

    Returns:
        (B, D) float64.

    Example:
        >>> states = np.array([[[2.0, 0.3], [6.0, 0.1], [9.0, 0.6]]])
        >>> pool_by_attention(states, np.array([[True, True, False]])).tolist()
        [[3.0]]
    """
    weights = np.where(genes, states[..., -1], 0.0).astype(np.float64)
    weights /= weights.sum(axis=1, keepdims=True)
    values = states[..., :-1]
    return np.stack([row @ state.astype(np.float64) for row, state in zip(weights, values)])
