"""Models of ours as checkpoints that `transformers` loads."""

import json
import logging
import os
from pathlib import Path
from typing import Any

from keras_geneformer.conversion.safetensors_writing import write_checkpoint
from keras_geneformer.models.presets import check_model_vocabulary
from keras_geneformer.models.published_view import published_view
from keras_geneformer.tokenization.genes.published_vocabulary_writing import (
    write_published_vocabulary,
)
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.tokenization.publishing import publish_directory

logger = logging.getLogger(__name__)


def export_to_transformers(
    model: Any,
    directory: str | os.PathLike[str],
    vocabulary: GeneVocabulary | None = None,
    vocabulary_files: bool | str | os.PathLike[str] = False,
    max_shard_bytes: int | None = None,
) -> None:
    """Write a model as a directory that `transformers` loads with `from_pretrained`.

    A `GeneformerMaskedLM` becomes a `BertForMaskedLM`, a `GeneformerCellClassifier` a
    `BertForSequenceClassification`, a `GeneformerGeneClassifier` a `BertForTokenClassification`,
    and a `GeneformerBackbone` a `BertModel` without its pooling layer (to load with
    `add_pooling_layer=False`). A `GeneformerMultiTaskClassifier` becomes what the published
    package's multi-task model saves, of which `transformers` reads the `BertModel` alone. Tensors
    go bit for bit, one at a time. PyTorch is not needed.

    Args:
        model: the model.
        directory: path to write; it appears whole or not at all.
        vocabulary: the `GeneVocabulary` the weights belong to.
        vocabulary_files: write the vocabulary too, as the four pickles of the published package,
            which reads nothing else: True, or where the vocabulary was loaded from ("v1", "v2", a
            directory), to write all that the files there hold. See `write_published_vocabulary`.
        max_shard_bytes: the most bytes of tensors a file; one file where None.

    Raises:
        ValueError: the model has a part that such a checkpoint has no place for (mean pooling,
            encoder blocks of a head, adapters, quantized weights), or the vocabulary is not its
            own.
        FileExistsError: the path holds something: a checkpoint of others is never replaced.

    Example:
        >>> import tempfile
        >>> from keras_geneformer import GeneformerMaskedLM
        >>> from keras_geneformer.testing import tiny_backbone
        >>> directory = Path(tempfile.mkdtemp()) / "checkpoint"
        >>> export_to_transformers(GeneformerMaskedLM(tiny_backbone()), directory)
        >>> sorted(path.name for path in directory.iterdir())
        ['config.json', 'model.safetensors']
    """
    if vocabulary_files and vocabulary is None:
        raise ValueError(
            "The files of a vocabulary are asked for, and there is none. Pass vocabulary=, or "
            "convert a preset that was saved with its vocabulary."
        )
    if vocabulary is not None:
        check_model_vocabulary(model, vocabulary)
    view = published_view(model, 0 if vocabulary is None else vocabulary.pad_token_id)
    if getattr(model, "calibration", None) is not None:
        logger.warning(
            "The calibration of this classifier does not go into a checkpoint for transformers, "
            "which has no place for it."
        )
    with publish_directory(directory, nothing_is_replaced) as partial:
        (partial / "config.json").write_text(
            json.dumps(view.config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        # A bare BertModel names its tensors without the name that it has within the other classes.
        prefix = "bert." if view.kind == "backbone" else ""
        stored = {key.removeprefix(prefix): tensor for key, tensor in view.tensors.items()}
        write_checkpoint(partial, stored, lambda key: view.read(prefix + key), max_shard_bytes)
        if vocabulary is not None and vocabulary_files:
            source = None if vocabulary_files is True else vocabulary_files
            write_published_vocabulary(partial, vocabulary, source)


def nothing_is_replaced(directory: Path) -> bool:
    """What may be replaced by a checkpoint: nothing tells one of ours from somebody's only copy."""
    return False
