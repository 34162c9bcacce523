"""A model of ours as a checkpoint of `transformers`: its config.json, and each of its tensors."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_geneformer.compression.dense_layers import dense_layers
from keras_geneformer.compression.quantized_layers import refuse_quantized
from keras_geneformer.conversion.published_config_writing import published_config
from keras_geneformer.conversion.safetensors_writing import Tensor, tensor_of
from keras_geneformer.conversion.table import Row, checkpoint_shapes, checkpoint_table
from keras_geneformer.models.backbone import GeneformerBackbone
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.gene_classifier import GeneformerGeneClassifier
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.models.multitask_classifier import GeneformerMultiTaskClassifier

_KINDS = {
    GeneformerBackbone: "backbone",
    GeneformerMaskedLM: "masked_lm",
    GeneformerCellClassifier: "cell_classifier",
    GeneformerGeneClassifier: "gene_classifier",
    GeneformerMultiTaskClassifier: "multitask",
}


class PublishedView(NamedTuple):
    """What a checkpoint of a model would hold.

    Attributes:
        kind: the head, as in `checkpoint_table`.
        config: content of config.json.
        tensors: dtype and shape of each tensor by its PyTorch key, in the order of the forward
            pass.
        read: gives the array of a key.
    """

    kind: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    read: Callable[[str], np.ndarray]


def published_view(model: Any, pad_token_id: int | None = 0) -> PublishedView:
    """A model as a checkpoint of `transformers`.

    A backbone some of whose blocks lost heads or feed-forward units is filled up with zeros: those
    heads and units add nothing, and the outputs are the same.

    Args:
        model: any model of ours.
        pad_token_id: token id of padding.

    Raises:
        ValueError: the model has a part that a checkpoint of `transformers` has no place for.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> view = published_view(GeneformerMaskedLM(tiny_backbone()))
        >>> view.tensors["cls.predictions.bias"].shape == (tiny_backbone().vocabulary_size,)
        True
    """
    refuse_what_stays(model)
    kind = _kind(model)
    backbone = model if isinstance(model, GeneformerBackbone) else model.backbone
    arguments = {**backbone.get_config(), **_whole_blocks(backbone)}
    classes, tasks = getattr(model, "num_classes", 0), getattr(model, "tasks", None)
    scores = classes if tasks is None else [len(names) for names in tasks.values()]
    table = checkpoint_table(backbone.num_layers, kind, 0 if tasks is None else len(tasks))
    rows = {row.key: row for row in table}
    shapes = checkpoint_shapes(arguments, table, scores)
    variables = {variable.path: variable for variable in model.weights}
    tensors = {
        key: tensor_of(_dtype(variables[row.path]), shapes[key]) for key, row in rows.items()
    }
    config = published_config(
        arguments,
        kind,
        num_classes=classes,
        classes=getattr(model, "classes", None),
        task=getattr(model, "task", None),
        tasks=tasks,
        head_dropout=getattr(model, "head_dropout", None),
        pad_token_id=pad_token_id,
        dtype=_dtype(variables["embeddings/position_table"]),
    )
    return PublishedView(
        kind, config, tensors, lambda key: _array(variables[rows[key].path], rows[key], shapes[key])
    )


def refuse_what_stays(model: Any) -> None:
    """Raise a ValueError where a model has what a checkpoint of `transformers` cannot hold."""
    if type(model) not in _KINDS:
        raise ValueError(
            f"Received a {type(model).__name__}; expected one of "
            f"{', '.join(cls.__name__ for cls in _KINDS)}."
        )
    # The table of genes too, which merging adapters leaves rounded.
    refuse_quantized(model, "held by a checkpoint for transformers")
    for path, layer in dense_layers(model).items():
        if layer.lora_enabled:
            raise ValueError(
                f"{path} has an adapter, which a checkpoint for transformers has no place for. "
                "Call keras_geneformer.merge_lora(model) first."
            )
    if getattr(model, "head_layers", 0):
        raise ValueError(
            f"This {type(model).__name__} has head_layers={model.head_layers}: encoder blocks of "
            "the head, which transformers' classifiers lack. Keep it as a preset, or fine-tune "
            "with head_layers=0."
        )
    if isinstance(model, GeneformerCellClassifier):
        _refuse_cell_head(model)

    if isinstance(model, GeneformerMultiTaskClassifier):
        _refuse_own_multitask_heads(model)


def _kind(model: Any) -> str:
    """The kind of checkpoint, as `checkpoint_table` names it."""
    kind = _KINDS[type(model)]
    shared = kind == "multitask" and model.pooling == "shared_attention"
    return "multitask_attention" if shared else kind


def _refuse_own_multitask_heads(model: Any) -> None:
    if model.pooler or model.pooling not in ("shared_attention", "first", "cls"):
        raise ValueError(
            f"This GeneformerMultiTaskClassifier has pooling={model.pooling!r} and pooler="
            f"{model.pooler}; the published multi-task model has one pooling for all tasks and no "
            "layer with tanh. Keep it as a preset, or train one with pooling='shared_attention' "
            "or 'first' and pooler=False."
        )


def _refuse_cell_head(model: Any) -> None:
    if model.pooling == "mean":
        raise ValueError(
            "This GeneformerCellClassifier has pooling='mean'; transformers' classifier reads the "
            "first token. Keep it as a preset, or fine-tune with pooling='first' or 'cls'."
        )
    if any(model.offsets) or any(scale != 1 for scale in model.scales):
        raise ValueError(
            f"This GeneformerCellClassifier multiplies its scores by scales={model.scales} and "
            f"adds offsets={model.offsets}, which transformers' classifier does not. Set "
            "model.scales to ones and model.offsets to zeros, convert, and do so to its scores "
            "yourself."
        )


def _whole_blocks(backbone: Any) -> dict[str, int]:
    """Heads and feed-forward units of a block, the same in all, that all blocks fit into."""
    heads = backbone.hidden_dim // backbone.head_dim
    if heads * backbone.head_dim != backbone.hidden_dim or heads < max(backbone.block_heads):
        raise ValueError(
            f"This backbone has {max(backbone.block_heads)} attention heads of head_dim="
            f"{backbone.head_dim} in a hidden width of {backbone.hidden_dim}; transformers' heads "
            "have the width divided by their number. Keep it as a preset."
        )
    return {"num_heads": heads, "intermediate_dim": max(backbone.block_intermediate_dims)}


def _dtype(variable: Any) -> str:
    return keras.backend.standardize_dtype(variable.dtype)


def _array(variable: Any, row: Row, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor of a row, as PyTorch keeps it, filled up with zeros at the ends of its axes."""
    # PyTorch's bfloat16 comes as float32, which holds it exactly.
    array = keras.ops.convert_to_numpy(variable).astype(_dtype(variable), copy=False)
    if row.transposed:
        array = array.T
    if array.shape != shape:
        missing = [(0, wanted - found) for wanted, found in zip(shape, array.shape)]
        array = np.pad(array, missing)
    return array
