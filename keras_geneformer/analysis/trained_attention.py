"""The attention pooling that a multi-task classifier has learnt, for embedding cells."""

import os
from typing import Any

import keras

from keras_geneformer.models.backbone_of import model_in
from keras_geneformer.models.multitask_classifier import GeneformerMultiTaskClassifier
from keras_geneformer.models.preset_format import is_preset
from keras_geneformer.models.preset_source import preset_directory
from keras_geneformer.models.presets import load_saved


def trained_attention_model(
    model_or_preset: Any, task: str | None, layer: int, dtype: str | None = None
) -> tuple[Any, Any]:
    """The part of a multi-task classifier that ends after one task's `AttentionPooling`.

    Args:
        model_or_preset: a `GeneformerMultiTaskClassifier` with attention pooling, or the name or
            directory of its preset.
        task: whose pooling; the only task's where None.
        layer: the last, whose states the pooling was trained on.
        dtype: as in `model_in`.

    Returns:
        The backbone, and a `keras.Model` from tokens to (B, D).

    Raises:
        ValueError: the model has no such pooling or task, or `layer` is not the last.
    """
    model = model_or_preset
    if isinstance(model, (str, os.PathLike)):
        directory = preset_directory(model)
        model = load_saved(directory) if is_preset(directory) else None
    if not isinstance(model, GeneformerMultiTaskClassifier) or model.pooling != "attention":
        raise ValueError(
            'Received pooling="trained_attention" and a model without it; expected a '
            'GeneformerMultiTaskClassifier with pooling="attention" (finetune_multitask trains '
            'one). Any model takes pooling="attention".'
        )
    tasks = list(model.tasks)
    if task is None and len(tasks) > 1:
        raise ValueError(
            f"The model has attention pooling for each of its tasks {', '.join(tasks)}: say whose "
            f"with task={tasks[0]!r}."
        )
    if task is not None and task not in tasks:
        raise ValueError(f"Received task={task!r}; expected one of {', '.join(tasks)}.")
    last = model.backbone.num_layers
    if layer not in (-1, last):
        raise ValueError(
            f'Received layer={layer} with pooling="trained_attention", which was trained on the '
            "states after the last block: pass layer=-1."
        )
    model = model_in(model, dtype)
    number = 0 if task is None else tasks.index(task)
    pooled = model.get_layer(f"task_{number}_pooling").output
    return model.backbone, keras.Model(model.input, pooled, name="trained_attention")
