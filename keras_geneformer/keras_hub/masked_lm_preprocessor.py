"""Cells as token ids into masked batches, as a `keras_hub.models.MaskedLMPreprocessor`."""

import itertools
from typing import Any

import keras
import keras_hub
import numpy as np

from keras_geneformer.data.collation import collate
from keras_geneformer.data.masking import Masking
from keras_geneformer.keras_hub.backbone import GeneformerBackbone
from keras_geneformer.tokenization.cells.dataset import CellDataset

SPECIAL_TOKENS = ("<pad>", "<mask>", "<cls>", "<eos>")
"""The order in which special token ids are numbered in V1 and V2."""


@keras.saving.register_keras_serializable(package="keras_geneformer.keras_hub")
class GeneformerMaskedLMPreprocessor(keras_hub.models.MaskedLMPreprocessor):
    """Masks cells for a masked LM as pretraining does: `keras_geneformer.data.masking.Masking`.

    Of a cell's genes 15 % are picked; of these 80 % become `<mask>`, 10 % a random gene, and 10 %
    stay. Special tokens are never masked. Each call masks anew. (For masks that depend on the cell
    and the epoch alone, give the model masked batches of a `BatchSource`.)

    Args:
        vocabulary_size: number of token ids.
        special_tokens: name to id, with `<pad>` and `<mask>`.
        sequence_length: longest cell, in tokens; longer ones lose their lowest ranks.
        mask_selection_rate: share of genes picked.
        seed: of the masks; None for a random one.

    Call: token ids of shape `(batch, length)`, padded with the `<pad>` id, or one cell, or a list
    of cells of any lengths. A dict, a batch that is masked already, is passed on as it is.
    Output: `(x, y, sample_weight)`: a dict of `token_ids`, `padding_mask` and `mask_positions`;
    the tokens that stood there; and 1 where a position counts.

    Example:
        >>> preprocessor = GeneformerMaskedLMPreprocessor(100, {"<pad>": 0, "<mask>": 1})
        >>> x, y, weight = preprocessor([[5, 9, 7, 30], [8, 6]])
        >>> tuple(x["token_ids"].shape), tuple(y.shape)
        ((2, 4), (2, 1))
    """

    backbone_cls = GeneformerBackbone

    def __init__(
        self,
        vocabulary_size: int,
        special_tokens: dict[str, int],
        sequence_length: int = 2048,
        mask_selection_rate: float = 0.15,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            tokenizer=None,
            sequence_length=sequence_length,
            mask_selection_rate=mask_selection_rate,
            **options,
        )
        self.vocabulary_size = int(vocabulary_size)
        self.special_tokens = {str(name): int(token) for name, token in special_tokens.items()}
        self.seed = seed
        drawn = np.random.default_rng(seed).integers(2**62) if seed is None else seed
        self.masking = Masking(
            self.vocabulary_size, self.special_tokens, rate=mask_selection_rate, seed=int(drawn)
        )
        self._calls = itertools.count()
        self.built = True

    @classmethod
    def of_backbone(cls, backbone: Any, **options: Any) -> "GeneformerMaskedLMPreprocessor":
        """For a backbone, whose special tokens are numbered as V1's and V2's are.

        Args:
            backbone: a `GeneformerBackbone` of this package, for keras_hub or not.
            **options: of the constructor.
        """
        arguments = {
            "vocabulary_size": backbone.vocabulary_size,
            "special_tokens": dict(zip(SPECIAL_TOKENS, backbone.special_token_ids)),
            "sequence_length": backbone.max_sequence_length,
        }
        return cls(**(arguments | options))

    def build(self, input_shape: Any = None) -> None:
        """Nothing is to be built: there is no text to tokenize."""

    def call(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Mask a batch of cells, or pass on one that is masked."""
        if isinstance(x, dict):
            return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        if self._use_tf_workflow():
            return self._in_graph(x)
        batch = self._masked(self.padded(x))
        return keras.utils.pack_x_y_sample_weight(*batch)

    def padded(self, x: Any) -> Any:
        """Cells as one padded int32 array, where they are lists or a `CellDataset`.

        What is an array, a batch or a dataset of `tf.data` or grain already is given back.
        """
        if isinstance(x, CellDataset):
            x = [x[index] for index in range(len(x))]
        if not isinstance(x, list):
            return x
        cells = x if x and np.ndim(x[0]) else [x]
        return collate(
            [np.asarray(ids, dtype=np.int32)[: self.sequence_length] for ids in cells],
            pad_token_id=self.special_tokens["<pad>"],
        )[0]

    def _masked(self, x: Any) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        token_ids = np.atleast_2d(np.asarray(x, dtype=np.int32))[:, : self.sequence_length]
        padding_mask = (token_ids != self.special_tokens["<pad>"]).astype(np.int32)
        batch = self.masking(
            token_ids, padding_mask, np.arange(len(token_ids)), epoch=next(self._calls)
        )
        inputs = {
            "token_ids": batch.token_ids,
            "padding_mask": padding_mask,
            "mask_positions": batch.mask_positions,
        }
        return inputs, batch.labels, batch.weights

    def _in_graph(self, x: Any) -> Any:
        """The same within a `tf.data` pipeline."""
        import tensorflow as tf

        def flat(tokens: Any) -> tuple[np.ndarray, ...]:
            inputs, labels, weights = self._masked(tokens)
            return (*inputs.values(), labels, weights)

        types = [tf.int32] * 4 + [tf.float32]
        arrays = tf.numpy_function(flat, [tf.cast(x, tf.int32)], types, stateful=True)
        for array in arrays:
            array.set_shape([None, None])
        token_ids, padding_mask, mask_positions, labels, weights = arrays
        inputs = {
            "token_ids": token_ids,
            "padding_mask": padding_mask,
            "mask_positions": mask_positions,
        }
        return keras.utils.pack_x_y_sample_weight(inputs, labels, weights)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "name": self.name,
            "vocabulary_size": self.vocabulary_size,
            "special_tokens": self.special_tokens,
            "sequence_length": self.sequence_length,
            "mask_selection_rate": self.mask_selection_rate,
            "seed": self.seed,
        }
