"""The encoder as a `keras_hub.models.Backbone`."""

from typing import Any

import keras
import keras_hub

from keras_geneformer.keras_hub.preset_files import is_hub_preset, refuse_quantized, whole_preset
from keras_geneformer.models import backbone as plain
from keras_geneformer.models.backbone_of import backbone_of


@keras.saving.register_keras_serializable(package="keras_geneformer.keras_hub")
class GeneformerBackbone(keras_hub.models.Backbone):
    """`keras_geneformer.GeneformerBackbone` for keras_hub: the same layers, weights and outputs.

    Args:
        *arguments, **options: those of `keras_geneformer.GeneformerBackbone`.
        geneformer: in place of them, a `keras_geneformer.GeneformerBackbone` whose layers this one
            shares; see `from_geneformer`.

    Inputs: a dict of `token_ids` and `padding_mask`, int32 of shape `(batch, length)`.
    Output: shape `(batch, length, hidden_dim)`.

    Attributes:
        geneformer: the `keras_geneformer.GeneformerBackbone` of the same layers, for the functions
            of this package: `kg.embed_cells(backbone.geneformer, cells)`.

    Example:
        >>> import numpy as np
        >>> from keras_geneformer.testing import tiny_backbone
        >>> backbone = GeneformerBackbone.from_geneformer(tiny_backbone())
        >>> ones = np.ones((2, 16), "int32")
        >>> tuple(backbone({"token_ids": ones, "padding_mask": ones}).shape)
        (2, 16, 32)
    """

    def __init__(self, *arguments: Any, geneformer: Any = None, **options: Any) -> None:
        if geneformer is None:
            geneformer = plain.GeneformerBackbone(*arguments, **options)
        elif arguments or options:
            raise ValueError(
                f"Received geneformer and also {', '.join(options) or 'other arguments'}; expected "
                "one or the other: a model has its own configuration."
            )
        super().__init__(
            inputs=geneformer.input,
            outputs=geneformer.output,
            dtype=geneformer.dtype_policy,
            name=geneformer.name,
            trainable=geneformer.trainable,
        )
        # Out of Keras's sight: a model that is an attribute would be saved as a layer.
        self.__dict__["geneformer"] = geneformer

    @classmethod
    def from_geneformer(cls, model_or_preset: Any) -> "GeneformerBackbone":
        """The backbone of one of our models or presets, sharing its layers.

        Args:
            model_or_preset: a model of keras_geneformer, or the name or directory of a preset of
                its format.

        Raises:
            ValueError: it is neither.
        """
        return cls(geneformer=backbone_of(model_or_preset))

    @classmethod
    def from_preset(cls, preset: Any, load_weights: bool = True, **options: Any) -> Any:
        """Load a preset of keras_hub's format or of ours.

        Args:
            preset: a directory that `save_to_preset` of a keras_hub model wrote, or a handle of
                kaggle or modelscope; or whatever `keras_geneformer.GeneformerBackbone.from_preset`
                takes, published checkpoints included. (keras_hub's presets on the Hugging Face hub
                go through `keras_hub.models.Backbone.from_preset`.)
            load_weights: False for random weights; of keras_hub's presets alone.
            **options: `dtype`, and what else the reader of the format takes.
        """
        if is_hub_preset(preset):
            return super().from_preset(str(preset), load_weights=load_weights, **options)
        if not load_weights:
            raise ValueError(
                f"Received load_weights=False for {str(preset)!r}, a preset of keras_geneformer's "
                "format; expected True: for random weights, give the constructor its arguments."
            )
        return cls(geneformer=plain.GeneformerBackbone.from_preset(preset, **options))

    def save_to_preset(self, preset_dir: Any, max_shard_size: float | None = 10) -> None:
        """Save a preset in keras_hub's format, whole or not at all.

        Args:
            preset_dir: directory to write; an earlier preset of keras_hub's there is replaced.
            max_shard_size: GB of a file of weights.

        Raises:
            ValueError: a layer is quantized.
            FileExistsError: the directory holds something else.
        """
        refuse_quantized(self)
        with whole_preset(preset_dir) as directory:
            super().save_to_preset(directory, max_shard_size=max_shard_size)

    @property
    def token_embedding(self) -> Any:
        """The layer of gene embeddings, to which the masked LM is tied."""
        return self.get_layer("embeddings").token_embedding

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids."""
        return self.geneformer.vocabulary_size

    @property
    def max_sequence_length(self) -> int:
        """Longest cell, in tokens."""
        return self.geneformer.max_sequence_length

    @property
    def special_token_ids(self) -> tuple[int, ...]:
        """Token ids that are no genes."""
        return self.geneformer.special_token_ids

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return self.geneformer.get_config() | {"name": self.name, "trainable": self.trainable}
