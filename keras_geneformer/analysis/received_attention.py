"""The attention that each token receives in a block, beside the block's hidden states."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_geneformer.layers.attention_kernels import MASKED
from keras_geneformer.layers.pooling import gene_tokens


class ReceivedAttention(keras.layers.Layer):
    """Adds to hidden states the attention that each token receives in the block they come from.

    That of a token is the sum, over the heads and over the cell's gene tokens as queries, of the
    weight that they give to it. Heads are taken one by one, so that what exists at once is
    `(batch, length, length)`.

    Args:
        attention: the block's `SelfAttention`.
        special_token_ids: token ids that are no genes, and whose queries do not count.

    Inputs: `before`, the block's input, and `after`, its output, of shape
    `(batch, length, hidden_dim)`; `token_ids` and `padding_mask`, of shape `(batch, length)`.
    Output: float32 of shape `(batch, length, hidden_dim + 1)`: `after`, then what is received.
    """

    def __init__(self, attention, special_token_ids, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.attention = attention
        self.special_token_ids = tuple(special_token_ids)
        self.built = True

    def call(self, before, after, token_ids, padding_mask):
        """Attend once more, without values."""
        query, key = self.attention.query(before), self.attention.key(before)
        width = query.shape[-1] // self.attention.num_heads
        bias = (1.0 - ops.cast(padding_mask, "float32"))[:, None, :] * MASKED
        asking = gene_tokens(token_ids, padding_mask, self.special_token_ids)
        asking = ops.cast(asking, "float32")[:, None, :]
        received = 0.0
        for head in range(self.attention.num_heads):
            part = slice(head * width, (head + 1) * width)
            asked = query[:, :, part] * width**-0.5
            scores = ops.matmul(asked, ops.transpose(key[:, :, part], (0, 2, 1)))
            weights = ops.softmax(ops.cast(scores, "float32") + bias, axis=-1)
            received = received + ops.matmul(asking, weights)
        return ops.concatenate([after, ops.transpose(received, (0, 2, 1))], axis=-1)

    def compute_output_shape(self, before_shape, after_shape, token_ids_shape, padding_mask_shape):
        """One more than the hidden width."""
        return (*after_shape[:-1], after_shape[-1] + 1)


def received_attention_model(backbone: Any, layer: int) -> Any:
    """A model from tokens to a layer's hidden states and the attention received in its block.

    Args:
        backbone: a `GeneformerBackbone`.
        layer: as in `GeneformerBackbone.hidden_state_model`.

    Returns:
        A `keras.Model` whose output is that of `ReceivedAttention`.

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
    before = backbone.hidden_state_model(index - 1).output
    attention = backbone.get_layer(f"encoder_block_{index - 1}").attention
    received = ReceivedAttention(attention, backbone.special_token_ids, name="received_attention")
    output = received(before, model.output, model.input["token_ids"], model.input["padding_mask"])
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
