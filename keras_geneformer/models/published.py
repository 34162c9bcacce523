"""Building a model from a published PyTorch checkpoint."""

import os

from keras_geneformer.conversion.assignment import assign_checkpoint, refuse_other_shapes
from keras_geneformer.conversion.checkpoint_files import read_checkpoint
from keras_geneformer.conversion.label_files import (
    classes_beside,
    read_classes,
    read_tasks,
    tasks_beside,
)
from keras_geneformer.conversion.own_entries import tasks_of_own_entry
from keras_geneformer.conversion.published_config import (
    backbone_arguments,
    checkpoint_kind,
    class_names_of,
    head_dropout_of,
    number_of_classes,
    read_published_config,
    task_of,
    task_sizes,
)
from keras_geneformer.conversion.table import (
    KINDS_WITHOUT_POOLER,
    UNUSED_KEYS,
    checkpoint_shapes,
    checkpoint_table,
)
from keras_geneformer.layers.embeddings import weights_to_be_loaded
from keras_geneformer.models.adapted import holds_adapters, load_adapted
from keras_geneformer.models.backbone import GeneformerBackbone
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.gene_classifier import GeneformerGeneClassifier
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.models.multitask_classifier import GeneformerMultiTaskClassifier


def load_published(directory, dtype=None, classes=None, tasks=None, published=False):
    """Load a published checkpoint as the model it is.

    The keys and shapes of all tensors are held to config.json before the model is built. The
    tensors are then read one after the other.

    Args:
        directory: folder with config.json and model.safetensors or pytorch_model.bin, whole or in
            shards; or with adapters of the `peft` package, whose base is on this machine.
        dtype: a Keras dtype or policy; float32 where None.
        classes: names of a classifier's classes, or a file with them (`read_classes`). Where None,
            those in config.json, or in the `*_id_class_dict.pkl` beside it.
        tasks: for a multi-task model, names of the classes of each task, or a file with them
            (`read_tasks`). Where None, those in config.json or in the `task_label_mappings*.pkl`
            beside it, or else `task_0`, `task_1` ... of `LABEL_0`, `LABEL_1` ...
        published: pool padding as the published multi-task model does.

    Returns:
        A `GeneformerMaskedLM`, `GeneformerCellClassifier`, `GeneformerGeneClassifier`,
        `GeneformerMultiTaskClassifier` or, without a head, `GeneformerBackbone`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the checkpoint is not a Geneformer's, its tensors do not fit its config.json, or
            there are other numbers of names than of classes.
    """
    if holds_adapters(directory):
        return load_adapted(directory, load_published, dtype)
    config = read_published_config(directory)
    tensors = read_checkpoint(directory)
    kind = checkpoint_kind(config, tensors.keys())
    arguments = backbone_arguments(config)
    sizes = task_sizes(tensors.shapes)
    rows = _table(directory, arguments["num_layers"], kind, sizes, len(tensors))
    unused = UNUSED_KEYS if kind in KINDS_WITHOUT_POOLER else ()
    scores = sizes if kind.startswith("multitask") else number_of_classes(config)
    refuse_other_shapes(tensors.shapes, rows, checkpoint_shapes(arguments, rows, scores), unused)

    if kind.startswith("multitask"):
        head = {
            "tasks": _task_names(directory, config, sizes, tasks),
            "pooling": "shared_attention" if kind == "multitask_attention" else "first",
            "pooler": False,
            "published": published and kind == "multitask_attention",
        }
    elif kind.endswith("classifier"):
        head = {"num_classes": scores, "classes": _class_names(directory, config, scores, classes)}
    else:
        head = {}
    if kind == "cell_classifier":
        head["task"] = task_of(config)
    if head:
        head["head_dropout"] = head_dropout_of(config, kind)
    with weights_to_be_loaded():
        backbone = GeneformerBackbone(**arguments, dtype=dtype)
        model = _MODELS[kind](backbone, **head)
    assign_checkpoint(tensors, model.weights, rows, unused)
    return model


_MODELS = {
    "backbone": lambda backbone: backbone,
    "masked_lm": GeneformerMaskedLM,
    "cell_classifier": GeneformerCellClassifier,
    "gene_classifier": GeneformerGeneClassifier,
    "multitask": GeneformerMultiTaskClassifier,
    "multitask_attention": GeneformerMultiTaskClassifier,
}


def _table(directory, num_layers, kind, sizes, tensors):
    # A table of a billion layers would exhaust memory by itself.
    if num_layers > tensors:
        raise ValueError(
            f"The config.json in {directory} names {num_layers} layers; the checkpoint has "
            f"{tensors} tensors. The weights do not belong to it: download both again."
        )
    return checkpoint_table(num_layers, kind, len(sizes) if kind.startswith("multitask") else 0)


def _class_names(directory, config, number, given):
    """Names of a classifier's classes, from the first place that has them; None where none has."""
    if isinstance(given, (str, os.PathLike)):
        given = read_classes(given)
    names = given or class_names_of(config) or classes_beside(directory)
    if names is not None and len(names) != number:
        raise ValueError(
            f"Received {len(names)} names of classes for the checkpoint in {directory}, which has "
            f"{number}: {', '.join(map(str, names))}. Give as many with classes=."
        )
    return names


def _task_names(directory, config, sizes, given):
    """For each task the names of its classes, from the first place that has them."""
    if isinstance(given, (str, os.PathLike)):
        given = read_tasks(given)
    unnamed = {
        f"task_{task}": [f"LABEL_{index}" for index in range(size)]
        for task, size in enumerate(sizes)
    }
    names = given or tasks_of_own_entry(config) or tasks_beside(directory) or unnamed
    received = [len(classes) for classes in names.values()]
    if received != sizes:
        raise ValueError(
            f"Received tasks of {received} classes for the checkpoint in {directory}, which has "
            f"tasks of {sizes}. Give as many, in the order of its heads, with tasks=."
        )
    return names
