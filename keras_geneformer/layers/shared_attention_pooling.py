"""From the tokens of a cell to one vector, as the published multi-task model pools them."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_geneformer")
class SharedAttentionPooling(keras.layers.Layer):
    """One vector a cell: a mean over its tokens with the published multi-task model's weights.

    A token's weight is the softmax, over the cell's tokens, of `h . w`, h being its hidden state.
    Special tokens count, as they did in training. All tasks share the result. `AttentionPooling` is
    ours, a task's own.

    Args:
        published: pool padding too, as the published package does: what a cell scores then depends
            on how far its batch is padded. By default padding has no weight.

    Inputs: `hidden_states`, shape `(batch, length, hidden_dim)`, and `token_ids` and
    `padding_mask`, int32 of shape `(batch, length)`.
    Output: shape `(batch, hidden_dim)`; zeros for a cell of padding alone.

    Example:
        >>> import numpy as np
        >>> states = np.array([[[3.0], [3.0], [9.0]]], "float32")
        >>> layer = SharedAttentionPooling()
        >>> pooled = layer(states, np.array([[7, 5, 0]]), np.array([[1, 1, 0]]))
        >>> keras.ops.convert_to_numpy(pooled).round(4).tolist()
        [[3.0]]
    """

    def __init__(self, published=False, **kwargs):
        super().__init__(**kwargs)
        self.published = bool(published)

    def build(self, hidden_states_shape, token_ids_shape=None, padding_mask_shape=None):
        """Make the weights."""
        self.attention_weights = self.add_weight(
            (hidden_states_shape[-1], 1), initializer="glorot_uniform", name="attention_weights"
        )

    def call(self, hidden_states, token_ids, padding_mask):
        """Pool `hidden_states` over the tokens."""
        states = ops.cast(hidden_states, "float32")
        counts = ops.ones_like(padding_mask) if self.published else padding_mask
        real = ops.cast(counts, "bool")
        # Padded states may hold anything: select, since 0 x infinity is not 0.
        states = ops.where(real[:, :, None], states, 0.0)
        logits = ops.matmul(states, ops.cast(self.attention_weights, "float32"))[:, :, 0]
        weights = ops.softmax(ops.where(real, logits, -1e30), axis=-1)
        pooled = ops.matmul(weights[:, None, :], states)
        return ops.cast(pooled[:, 0, :], hidden_states.dtype)

    def compute_output_shape(self, hidden_states_shape, token_ids_shape, padding_mask_shape):
        """Shape of the pooled states."""
        return (hidden_states_shape[0], hidden_states_shape[-1])

    def get_config(self):
        """Constructor arguments."""
        return {**super().get_config(), "published": self.published}
