"""Self-attention over the genes of a cell."""

import keras
from keras import ops

from keras_geneformer.layers.attention_kernels import attend
from keras_geneformer.layers.embeddings import normal


@keras.saving.register_keras_serializable(package="keras_geneformer")
class SelfAttention(keras.layers.Layer):
    """Multi-head scaled dot-product self-attention that never looks at padding.

    The arithmetic is BERT's; the kernel that does it is chosen per backend
    (`keras_geneformer.layers.attention_kernels`). What stands at padded positions has no influence
    on real ones, whatever the batch is padded to.

    Args:
        num_heads: attention heads.
        head_dim: width of a head; where None, that of the input over `num_heads`, which must divide
            it. A layer that lost heads keeps the width of those it has.
        dropout: rate on the attention weights, while training.
        initializer_range: standard deviation of the initial weights.

    Inputs: `x`, shape `(batch, length, hidden_dim)`, and `padding_mask`, shape `(batch, length)`,
    nonzero at real tokens, or None where all are. In its place, for rows of several cells,
    `cell_numbers`, int32 of shape `(batch, length)`: tokens of one number attend to each other
    alone, and so do those of 0, which is padding. `positions`, int32 of shape `(batch, places)`:
    what attends, where not every token does.
    Output: the shape of `x`, or `(batch, places, hidden_dim)`.

    Example:
        >>> import numpy as np
        >>> layer = SelfAttention(num_heads=2)
        >>> tuple(layer(np.ones((1, 3, 8), "float32")).shape)
        (1, 3, 8)
    """

    def __init__(self, num_heads, dropout=0.02, initializer_range=0.02, head_dim=None, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.dropout_rate = dropout
        self.initializer_range = initializer_range
        self.seed_generator = keras.random.SeedGenerator()

    def build(
        self, x_shape, padding_mask_shape=None, cell_numbers_shape=None, positions_shape=None
    ):
        """Create the four projections."""
        width = x_shape[-1]
        if self.head_dim is None:
            if width % self.num_heads:
                raise ValueError(
                    f"Received a hidden width of {width} and {self.num_heads} attention heads; the "
                    "heads must divide the width."
                )
            self.head_dim = width // self.num_heads
        inner = self.num_heads * self.head_dim

        def dense(name, inputs, outputs):
            layer = keras.layers.Dense(
                outputs,
                kernel_initializer=normal(self.initializer_range),
                dtype=self.dtype_policy,
                name=name,
            )
            layer.build((*x_shape[:-1], inputs))
            return layer

        self.query = dense("query", width, inner)
        self.key = dense("key", width, inner)
        self.value = dense("value", width, inner)
        self.output_projection = dense("output_projection", inner, width)
        self.built = True

    def call(self, x, padding_mask=None, cell_numbers=None, positions=None, training=None):
        """Attend from every token, or those at `positions`, to every real token of its cell."""
        batch, length, _ = ops.shape(x)
        heads = (batch, length, self.num_heads, self.head_dim)
        asking, own_numbers, places = x, cell_numbers, length
        if positions is not None:
            places = ops.shape(positions)[1]
            asking = ops.take_along_axis(x, positions[:, :, None], axis=1)
            if cell_numbers is not None:
                own_numbers = ops.take_along_axis(cell_numbers, positions, axis=1)
        attended = attend(
            ops.reshape(self.query(asking), (batch, places, *heads[2:])),
            ops.reshape(self.key(x), heads),
            ops.reshape(self.value(x), heads),
            padding_mask,
            dropout=self.dropout_rate if training else 0.0,
            seed=self.seed_generator,
            cell_numbers=None if cell_numbers is None else (own_numbers, cell_numbers),
        )
        joined = (batch, places, self.num_heads * self.head_dim)
        return self.output_projection(ops.reshape(attended, joined))

    def compute_output_shape(
        self, x_shape, padding_mask_shape=None, cell_numbers_shape=None, positions_shape=None
    ):
        """The shape of `x`, or of what stands at `positions` in it."""
        return x_shape if positions_shape is None else (*positions_shape, x_shape[-1])

    def get_config(self):
        """Constructor arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout_rate,
            "initializer_range": self.initializer_range,
            "head_dim": self.head_dim,
        }
