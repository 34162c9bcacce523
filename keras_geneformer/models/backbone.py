"""The encoder: token ids in, a contextual embedding of every gene out."""

import numbers

import keras

from keras_geneformer.layers.embeddings import GeneEmbeddings
from keras_geneformer.layers.encoder_block import EncoderBlock
from keras_geneformer.models.block_shapes import (
    as_written,
    head_width,
    numbers_by_block,
    one_where_equal,
)
from keras_geneformer.models.preset_model import PresetModel


@keras.saving.register_keras_serializable(package="keras_geneformer")
class GeneformerBackbone(PresetModel):
    """The Geneformer encoder (Theodoris et al., Nature 2023): a post-LN BERT over ranked genes.

    Args:
        vocabulary_size: number of token ids, special tokens included (V1: 25426, V2: 20275).
        num_layers: encoder blocks.
        num_heads: attention heads of a block; a list where blocks differ (`prune`).
        hidden_dim: width of the hidden states.
        intermediate_dim: width of the feed-forward networks; a list where blocks differ.
        max_sequence_length: longest cell, in tokens.
        dropout: rate on hidden states, while training.
        attention_dropout: rate on attention weights, while training; `dropout` where None.
        activation: of the feed-forward networks; Geneformer uses ReLU.
        layer_norm_epsilon: added to variances.
        num_segments: rows of the segment table, of which row 0 is added to every token.
        initializer_range: standard deviation of the initial weights.
        special_token_ids: token ids that are no genes. V1: 0 and 1; V2: 0 to 3.
        vocabulary_checksum: `GeneVocabulary.checksum` of the vocabulary the weights belong to; None
            where it is unknown.
        head_dim: width of an attention head; `hidden_dim / num_heads` where None, which a list of
            heads does not allow.
        dtype: a Keras dtype or policy, as in `"mixed_bfloat16"`.

    Inputs: a dict of `token_ids` and `padding_mask` (nonzero at real tokens), both int32 of shape
    `(batch, length)`.
    Output: shape `(batch, length, hidden_dim)`.

    Attributes:
        block_heads: attention heads of each block, one number a block.
        block_intermediate_dims: width of each block's feed-forward network.
        head_dim: width of an attention head, also where it was not given.

    Raises:
        ValueError: no block, other numbers of heads or widths than of blocks, one below 1, or
            heads that leave their width open.

    Example:
        >>> import numpy as np
        >>> backbone = GeneformerBackbone(
        ...     vocabulary_size=30, num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16,
        ...     max_sequence_length=16)
        >>> cells = {"token_ids": np.array([[5, 7, 2]]), "padding_mask": np.array([[1, 1, 1]])}
        >>> tuple(backbone(cells).shape)
        (1, 3, 8)
    """

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        num_heads,
        hidden_dim,
        intermediate_dim,
        max_sequence_length,
        dropout=0.02,
        attention_dropout=None,
        activation="relu",
        layer_norm_epsilon=1e-12,
        num_segments=2,
        initializer_range=0.02,
        special_token_ids=(0, 1),
        vocabulary_checksum=None,
        dtype=None,
        name=None,
        trainable=True,
        head_dim=None,
    ):
        attention_dropout = dropout if attention_dropout is None else attention_dropout

        block_heads = numbers_by_block("num_heads", num_heads, num_layers)
        block_widths = numbers_by_block("intermediate_dim", intermediate_dim, num_layers)
        head_dim = head_width(hidden_dim, block_heads, head_dim)

        # Layers
        policy = keras.dtype_policies.get(dtype)
        embeddings = GeneEmbeddings(
            vocabulary_size,
            hidden_dim,
            max_sequence_length,
            num_segments=num_segments,
            dropout=dropout,
            layer_norm_epsilon=layer_norm_epsilon,
            initializer_range=initializer_range,
            dtype=policy,
            name="embeddings",
        )
        blocks = [
            EncoderBlock(
                num_heads=heads,
                intermediate_dim=width,
                activation=activation,
                dropout=dropout,
                attention_dropout=attention_dropout,
                layer_norm_epsilon=layer_norm_epsilon,
                initializer_range=initializer_range,
                head_dim=head_dim,
                dtype=policy,
                name=f"encoder_block_{index}",
            )
            for index, (heads, width) in enumerate(zip(block_heads, block_widths))
        ]

        # Functional model
        inputs = token_inputs()
        x = embeddings(inputs["token_ids"])
        for block in blocks:
            x = block(x, inputs["padding_mask"])
        super().__init__(inputs=inputs, outputs=x, name=name, trainable=trainable)

        # Config
        self.dtype_policy = policy
        self.vocabulary_size = vocabulary_size
        self.num_layers = num_layers
        self.block_heads = block_heads
        self.block_intermediate_dims = block_widths
        self.num_heads = one_where_equal(block_heads)
        self.head_dim = head_dim
        self.hidden_dim = hidden_dim
        self.intermediate_dim = one_where_equal(block_widths)
        self.max_sequence_length = max_sequence_length
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.activation = keras.activations.serialize(keras.activations.get(activation))
        self.layer_norm_epsilon = layer_norm_epsilon
        self.num_segments = num_segments
        self.initializer_range = initializer_range
        self.special_token_ids = tuple(int(token) for token in special_token_ids)
        self.vocabulary_checksum = vocabulary_checksum

    def hidden_state_model(self, layer=-2):
        """The part of this model that ends after one of its blocks; no block above it runs.

        Args:
            layer: number of encoder blocks gone through: 0 is the embeddings' output, `num_layers`
                the last block's. Negative numbers count from the end: -1 is the last block, -2 the
                second to last, which is the default for embeddings (the published package calls
                them `emb_layer=0` and `emb_layer=-1`).

        Returns:
            A `keras.Model` of the same inputs, which shares its weights with this one.

        Raises:
            ValueError: there is no such layer.
        """
        whole = isinstance(layer, numbers.Integral) and not isinstance(layer, bool)
        index = -1 if not whole else layer + self.num_layers + 1 if layer < 0 else layer
        if not 0 <= index <= self.num_layers:
            raise ValueError(
                f"Received layer={layer!r}; this model has {self.num_layers} encoder blocks: "
                f"expected 0 to {self.num_layers}, or -{self.num_layers + 1} to -1."
            )
        name = f"encoder_block_{index - 1}" if index else "embeddings"
        return keras.Model(self.input, self.get_layer(name).output, name=f"hidden_state_{index}")

    def packed_model(self):
        """This model for rows of several cells, each of which attends to itself alone.

        Each cell's hidden states are those that it has in a row of its own.

        Returns:
            A `keras.Model` that shares its weights with this one, the same at every call. Its
            inputs are a dict of int32 arrays of shape `(batch, length)`, as `BatchSource` packs
            them: `token_ids`; `cell_numbers`, 1 and up for the cells of a row, 0 at padding; and
            `positions`, the rank of each token in its cell, from 0. A row may be longer than
            `max_sequence_length`; a cell may not.

        Example:
            >>> import numpy as np
            >>> from keras_geneformer.testing import tiny_backbone
            >>> packed = tiny_backbone().packed_model()
            >>> rows = {"token_ids": np.array([[5, 7, 2, 9, 0]]),
            ...         "cell_numbers": np.array([[1, 1, 1, 2, 0]]),
            ...         "positions": np.array([[0, 1, 2, 0, 0]])}
            >>> tuple(packed(rows).shape)
            (1, 5, 32)
        """
        # Kept out of Keras's sight: a model that is an attribute would be saved as a layer.
        packed = self.__dict__.get("_packed_model")
        if packed is None:
            inputs = {
                name: keras.Input((None,), dtype="int32", name=name)
                for name in ("token_ids", "cell_numbers", "positions")
            }
            x = self.get_layer("embeddings")(inputs["token_ids"], inputs["positions"])
            for index in range(self.num_layers):
                block = self.get_layer(f"encoder_block_{index}")
                x = block(x, cell_numbers=inputs["cell_numbers"])
            packed = keras.Model(inputs, x, name="packed")
            self.__dict__["_packed_model"] = packed
        return packed

    def read_out_model(self, packed=False):
        """This model where hidden states are wanted at few positions, as the masked LM's are.

        The last block computes these alone: a step of pretraining takes a tenth less, for the same
        hidden states.

        Args:
            packed: for rows of several cells.

        Returns:
            A `keras.Model` that shares its weights with this one, the same at every call. Its
            inputs are those of this model, or of `packed_model`, and `mask_positions`, int32 of
            shape `(batch, masks)`; its output has shape `(batch, masks, hidden_dim)`.

        Example:
            >>> import numpy as np
            >>> from keras_geneformer.testing import tiny_backbone
            >>> cells = {"token_ids": np.array([[5, 7, 2]]), "padding_mask": np.array([[1, 1, 1]]),
            ...          "mask_positions": np.array([[2]])}
            >>> tuple(tiny_backbone().read_out_model()(cells).shape)
            (1, 1, 32)
        """
        name = "_packed_read_out_model" if packed else "_read_out_model"
        model = vars(self).get(name)
        if model is None:
            whole = self.packed_model() if packed else self
            inputs = dict(whole.input)
            below = self.num_layers - 1
            if packed:
                x = self.get_layer("embeddings")(inputs["token_ids"], inputs["positions"])
                looks = {"cell_numbers": inputs["cell_numbers"]}
            else:
                x = self.get_layer("embeddings")(inputs["token_ids"])
                looks = {"padding_mask": inputs["padding_mask"]}
            for index in range(below):
                x = self.get_layer(f"encoder_block_{index}")(x, **looks)
            positions = keras.Input((None,), dtype="int32", name="mask_positions")
            x = self.get_layer(f"encoder_block_{below}")(x, positions=positions, **looks)
            model = keras.Model({**inputs, "mask_positions": positions}, x, name="read_out")
            self.__dict__[name] = model
        return model

    def recompute_blocks(self, on=True):
        """Trade time for memory while training (gradient checkpointing; Chen et al., 2016).

        Each encoder block then keeps its input alone and computes the rest again in the backward
        pass, with the same dropout: a step takes about a third longer and gives the same loss and
        gradients. To be called before a training step is compiled.

        Args:
            on: False to keep everything again.

        Example:
            >>> from keras_geneformer.testing import tiny_backbone
            >>> backbone = tiny_backbone()
            >>> backbone.recompute_blocks()
            >>> backbone.get_layer("encoder_block_0").recompute
            True
        """
        for index in range(self.num_layers):
            self.get_layer(f"encoder_block_{index}").recompute = on

    def get_config(self):
        """Constructor arguments."""
        config = {
            "name": self.name,
            "trainable": self.trainable,
            "vocabulary_size": self.vocabulary_size,
            "num_layers": self.num_layers,
            "num_heads": as_written(self.num_heads),
            "hidden_dim": self.hidden_dim,
            "intermediate_dim": as_written(self.intermediate_dim),
            "max_sequence_length": self.max_sequence_length,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "activation": self.activation,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "num_segments": self.num_segments,
            "initializer_range": self.initializer_range,
            "special_token_ids": list(self.special_token_ids),
            "vocabulary_checksum": self.vocabulary_checksum,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }
        # Models that lost no heads are written as they were before any could.
        if isinstance(self.num_heads, tuple) or self.num_heads * self.head_dim != self.hidden_dim:
            config["head_dim"] = self.head_dim
        return config


def token_inputs():
    """The two inputs of every Geneformer model."""
    return {
        "token_ids": keras.Input((None,), dtype="int32", name="token_ids"),
        "padding_mask": keras.Input((None,), dtype="int32", name="padding_mask"),
    }
