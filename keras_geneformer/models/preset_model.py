"""What every Geneformer model shares: coming from a preset, and going into one."""

import keras

from keras_geneformer.compression.quantized_layers import is_quantized


class PresetModel(keras.Model):
    """A Keras model that loads from, and saves to, a preset."""

    @classmethod
    def from_preset(cls, preset, **options):
        """Load a model of this class.

        Args:
            preset: `"geneformer_mini"`, which comes with the package; a published checkpoint by
                name, such as `"geneformer_v1_10m"`; a directory written by `save_to_preset`; a
                file written by Keras's `save`, `"model.keras"`; a published PyTorch checkpoint (a
                directory with config.json and model.safetensors or pytorch_model.bin); or one of
                these on the Hugging Face hub, as `"hf://organisation/repository/subfolder"`.
            **options: for classifiers, the arguments of the head (`num_classes`, `classes`,
                `pooling`, `head_layers`, `head_dropout`); for every model, `dtype`, and `revision`
                for the hub. A preset without such a head, or with one of other classes, lends its
                backbone, and the head starts from random weights.

        Raises:
            FileNotFoundError: there is no such directory, or a file in it is missing.
            ConnectionError: it is on the hub, which was not reached, and the cache has no copy.
            ValueError: the checkpoint is not one of a Geneformer that this class can hold, or is
                not the file that it should be.
        """
        from keras_geneformer.models.presets import load_preset

        return load_preset(cls, preset, **options)

    def save_to_preset(self, directory, vocabulary=None):
        """Save configuration, weights and vocabulary to a directory of their own.

        The directory appears whole or not at all.

        Args:
            directory: path to write; an earlier preset there is replaced.
            vocabulary: the `GeneVocabulary` to keep beside the weights, so that whoever loads the
                preset can tokenize for it.

        Raises:
            ValueError: `vocabulary` is not the one the weights belong to.
            FileExistsError: the path holds something that is not a preset.
        """
        from keras_geneformer.models.presets import save_preset

        save_preset(self, directory, vocabulary)

    def save(self, filepath, *arguments, **options):
        """Write a file of Keras, `"model.keras"`: see `keras.Model.save`.

        Raises:
            ValueError: the model is quantized, which such a file does not bring back.
        """
        self._refuse_where_quantized("saved as a file of Keras")
        super().save(filepath, *arguments, **options)

    def __reduce__(self):
        """For pickle and `copy.deepcopy`, which go by way of such a file."""
        self._refuse_where_quantized("copied or pickled")
        return super().__reduce__()

    def _refuse_where_quantized(self, purpose):
        if is_quantized(self):
            raise ValueError(
                f"The {type(self).__name__} {self.name!r} is quantized and cannot be {purpose}: "
                "Keras would not load it again. Write it with save_to_preset(directory), and load "
                "that with from_preset."
            )


class TaskModel(PresetModel):
    """A model that stands on a backbone, `self.backbone`."""

    @property
    def vocabulary_checksum(self):
        """Checksum of the vocabulary the weights belong to; None where it is unknown."""
        return self.backbone.vocabulary_checksum

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild from `get_config`, backbone and all.

        Raises:
            ValueError: the config names another class than `GeneformerBackbone`; none is built.
        """
        from keras_geneformer.models.backbone import GeneformerBackbone

        backbone = config.get("backbone") if isinstance(config, dict) else None
        backbone = backbone if isinstance(backbone, dict) else {}
        name = backbone.get("class_name")
        if name != "GeneformerBackbone" or not isinstance(backbone.get("config"), dict):
            raise ValueError(
                f"Received a {cls.__name__} configuration whose backbone is {name!r}; expected "
                "'GeneformerBackbone' and its configuration. Copy the preset again."
            )
        return cls(**{**config, "backbone": GeneformerBackbone.from_config(backbone["config"])})
