"""The pretraining model: which gene stands at a masked rank?"""

import keras

from keras_geneformer.layers.masked_lm_head import MaskedLMHead
from keras_geneformer.models.backbone import token_inputs
from keras_geneformer.models.preset_model import TaskModel


@keras.saving.register_keras_serializable(package="keras_geneformer")
class GeneformerMaskedLM(TaskModel):
    """Geneformer with its masked-LM head, tied to the gene embeddings.

    Args:
        backbone: a `GeneformerBackbone`.

    Inputs: a dict of `token_ids` and `padding_mask`, int32 of shape `(batch, length)`, and
    `mask_positions`, int32 of shape `(batch, masks)`: the positions to score. For scores at every
    position, pass `0 ... length - 1`.
    Output: float32 scores, before any softmax, of shape `(batch, masks, vocabulary_size)`.

    Example:
        >>> import numpy as np
        >>> from keras_geneformer import GeneformerBackbone
        >>> mlm = GeneformerMaskedLM(GeneformerBackbone(
        ...     vocabulary_size=30, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16,
        ...     max_sequence_length=16))
        >>> tuple(mlm({"token_ids": np.array([[5, 1, 2]]), "padding_mask": np.array([[1, 1, 1]]),
        ...            "mask_positions": np.array([[1]])}).shape)
        (1, 1, 30)
    """

    def __init__(self, backbone, name=None, trainable=True):
        # Layers
        head = MaskedLMHead(
            backbone.get_layer("embeddings").token_embedding,
            activation=backbone.activation,
            layer_norm_epsilon=backbone.layer_norm_epsilon,
            initializer_range=backbone.initializer_range,
            dtype=backbone.dtype_policy,
            name="masked_lm_head",
        )

        # Functional model
        inputs = token_inputs()
        positions = keras.Input((None,), dtype="int32", name="mask_positions")
        scores = head(backbone(inputs), positions)
        super().__init__(
            inputs={**inputs, "mask_positions": positions},
            outputs=scores,
            name=name,
            trainable=trainable,
        )

        # Config
        self.backbone = backbone

    def get_config(self):
        """Constructor arguments."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "backbone": keras.saving.serialize_keras_object(self.backbone),
        }
