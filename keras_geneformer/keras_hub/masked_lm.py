"""The pretraining model as a `keras_hub.models.MaskedLM`."""

from typing import Any

import keras
import keras_hub

from keras_geneformer.keras_hub.backbone import GeneformerBackbone
from keras_geneformer.keras_hub.masked_lm_preprocessor import GeneformerMaskedLMPreprocessor
from keras_geneformer.keras_hub.preset_files import is_hub_preset, refuse_quantized, whole_preset
from keras_geneformer.models import masked_lm as plain


@keras.saving.register_keras_serializable(package="keras_geneformer.keras_hub")
class GeneformerMaskedLM(keras_hub.models.MaskedLM):
    """`keras_geneformer.GeneformerMaskedLM` for keras_hub: the same layers, weights and scores.

    Args:
        backbone: a `keras_geneformer.keras_hub.GeneformerBackbone`.
        preprocessor: a `GeneformerMaskedLMPreprocessor`, which masks cells given as token ids; None
            where batches come masked.
        geneformer: a `keras_geneformer.GeneformerMaskedLM` on the backbone's layers, whose head
            this one shares; see `from_geneformer`.
        compile: compile with keras_hub's defaults: Adam with 5e-5, cross-entropy, and accuracy.

    Inputs and output: those of `keras_geneformer.GeneformerMaskedLM`.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> masked_lm = GeneformerMaskedLM.from_geneformer(tiny_backbone(num_layers=1))
        >>> history = masked_lm.fit([[5, 9, 7, 30], [8, 6]], batch_size=2, verbose=0)
        >>> sorted(history.history)
        ['loss', 'sparse_categorical_accuracy']
    """

    backbone_cls = GeneformerBackbone
    preprocessor_cls = GeneformerMaskedLMPreprocessor

    def __init__(
        self,
        backbone: Any,
        preprocessor: Any = None,
        geneformer: Any = None,
        compile: bool = True,
        **options: Any,
    ) -> None:
        if geneformer is None:
            geneformer = plain.GeneformerMaskedLM(backbone.geneformer)
        inputs = geneformer.input
        tokens = {name: inputs[name] for name in ("token_ids", "padding_mask")}
        scores = geneformer.get_layer("masked_lm_head")(backbone(tokens), inputs["mask_positions"])
        # keras_hub reads both while it builds the model.
        self.backbone = backbone
        self.preprocessor = preprocessor
        super().__init__(inputs=inputs, outputs=scores, compile=compile, **options)
        self.__dict__["geneformer"] = geneformer

    @classmethod
    def from_geneformer(
        cls, model_or_preset: Any, preprocessor: Any = "default", **options: Any
    ) -> "GeneformerMaskedLM":
        """A masked LM of one of our models or presets, sharing its layers.

        Args:
            model_or_preset: a `keras_geneformer.GeneformerMaskedLM`; or another model, on whose
                backbone the head is new; or the name or directory of a preset.
            preprocessor: by default a `GeneformerMaskedLMPreprocessor` for the model; None for
                none.
            **options: of the constructor.
        """
        if isinstance(model_or_preset, plain.GeneformerMaskedLM):
            model = model_or_preset
        elif isinstance(model_or_preset, keras.Model):
            model = None
        else:
            model = plain.GeneformerMaskedLM.from_preset(model_or_preset)
        backbone = GeneformerBackbone.from_geneformer(model or model_or_preset)
        if preprocessor == "default":
            preprocessor = GeneformerMaskedLMPreprocessor.of_backbone(backbone)
        return cls(backbone, preprocessor, geneformer=model, **options)

    @classmethod
    def from_preset(cls, preset: Any, load_weights: bool = True, **options: Any) -> Any:
        """Load a preset of keras_hub's format or of ours: see `GeneformerBackbone.from_preset`."""
        if is_hub_preset(preset):
            return super().from_preset(str(preset), load_weights=load_weights, **options)
        if not load_weights:
            raise ValueError(
                f"Received load_weights=False for {str(preset)!r}, a preset of keras_geneformer's "
                "format; expected True: for random weights, give the constructor a backbone."
            )
        return cls.from_geneformer(preset, **options)

    def save_to_preset(self, preset_dir: Any, max_shard_size: float | None = 10) -> None:
        """Save a preset in keras_hub's format, whole or not at all: see the backbone's."""
        refuse_quantized(self)
        with whole_preset(preset_dir) as directory:
            super().save_to_preset(directory, max_shard_size=max_shard_size)

    def fit(self, x: Any = None, **options: Any) -> Any:
        """Train on cells.

        Args:
            x: a list of token id lists, a `CellDataset`, an array padded with the `<pad>` id, or a
                `tf.data` or grain dataset of either padded arrays or masked batches
                (`tensorflow_batches` of a `BatchSource` with masking).
            **options: those of `keras.Model.fit`.
        """
        return super().fit(self._padded(x), **options)

    def evaluate(self, x: Any = None, **options: Any) -> Any:
        """Loss and metrics on cells, given as to `fit`."""
        if options.get("_use_cached_eval_dataset"):
            return super().evaluate(x, **options)
        return super().evaluate(self._padded(x), **options)

    def predict(self, x: Any = None, **options: Any) -> Any:
        """Scores at the masked positions of cells, given as to `fit`."""
        return super().predict(self._padded(x), **options)

    def _padded(self, x: Any) -> Any:
        return x if self.preprocessor is None else self.preprocessor.padded(x)
