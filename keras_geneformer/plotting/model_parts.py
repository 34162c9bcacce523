"""The parts of a model, what each does, and how many weights each has."""

import math
from typing import Any, NamedTuple

from keras_geneformer.plotting.style import clipped


class ModelPart(NamedTuple):
    """A row of the picture of a model."""

    name: str
    detail: str
    parameters: int
    group: str
    """What it is a part of: "embeddings", "blocks" or "head"."""
    repeats: int = 1
    """In how many blocks it stands, of equal size in all; 1 where they differ."""


def model_parts(model: Any) -> list[ModelPart]:
    """The parts of a Geneformer model in the order of the computation.

    Args:
        model: a `GeneformerBackbone` or a model on one.

    Returns:
        The parts. Each weight counts once, in the first part that has it: a head that is tied to
        the table of genes does not count the table again.

    Raises:
        TypeError: it is no such model.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> parts = model_parts(tiny_backbone())
        >>> parts[0].name, parts[0].detail, parts[0].parameters
        ('gene table', '122 x 32', 3904)
        >>> sum(part.parameters for part in parts) == tiny_backbone().count_params()
        True
    """
    backbone = getattr(model, "backbone", model)
    if not hasattr(backbone, "block_heads"):
        raise TypeError(
            f"Received a {type(model).__name__}; expected a GeneformerBackbone or a model on one."
        )
    names = {"embeddings", *(f"encoder_block_{block}" for block in range(backbone.num_layers))}
    counts: dict[tuple[str, ...], int] = {}
    for weight in model.weights:
        path = tuple(weight.path.split("/"))
        inside = [place for place, part in enumerate(path) if part in names]
        path = path[inside[0] :] if inside else path
        counts[path] = counts.get(path, 0) + math.prod(weight.shape)
    return [*_embeddings(backbone, counts), *_blocks(backbone, counts), *_head(model, counts)]


def _count(counts: dict[tuple[str, ...], int], *starts: str) -> int:
    wanted = [tuple(start.split("/")) for start in starts]
    return sum(
        number
        for path, number in counts.items()
        if any(path[: len(start)] == start for start in wanted)
    )


def _embeddings(backbone: Any, counts: dict[tuple[str, ...], int]) -> list[ModelPart]:
    width = backbone.hidden_dim
    genes = _count(counts, "embeddings/token_embedding")
    ranks = _count(counts, "embeddings/position_table")
    rest = _count(counts, "embeddings") - genes - ranks
    return [
        ModelPart("gene table", f"{backbone.vocabulary_size:,} x {width:,}", genes, "embeddings"),
        ModelPart(
            "rank table", f"{backbone.max_sequence_length:,} x {width:,}", ranks, "embeddings"
        ),
        ModelPart(
            "add, LayerNorm",
            f"and segments, {backbone.num_segments} x {width:,}",
            rest,
            "embeddings",
        ),
    ]


def _blocks(backbone: Any, counts: dict[tuple[str, ...], int]) -> list[ModelPart]:
    width = backbone.hidden_dim
    heads = _range(backbone.block_heads)
    middle = _range(backbone.block_intermediate_dims)
    kinds = (
        ("self-attention", f"{heads} heads of {backbone.head_dim}", ("attention",)),
        ("add, LayerNorm", "", ("attention_normalization",)),
        (
            "feed-forward",
            f"{width:,} to {middle} to {width:,}, {backbone.activation}",
            ("intermediate", "output_projection"),
        ),
        ("add, LayerNorm", "", ("output_normalization",)),
    )
    parts = []
    for name, detail, layers in kinds:
        numbers = [
            _count(counts, *(f"encoder_block_{block}/{layer}" for layer in layers))
            for block in range(backbone.num_layers)
        ]
        repeats = backbone.num_layers if len(set(numbers)) == 1 else 1
        parts.append(ModelPart(name, detail, sum(numbers), "blocks", repeats))
    return parts


def _head(model: Any, counts: dict[tuple[str, ...], int]) -> list[ModelPart]:
    backbone = getattr(model, "backbone", model)
    if backbone is model:
        return []
    parts = []
    for layer in model.layers:
        kind = type(layer).__name__
        if layer is backbone or kind in ("InputLayer", "Dropout"):
            continue
        name = _named(layer.name, getattr(model, "tasks", {}))
        if kind == "MaskedLMHead":
            detail = "dense, then gene table"
            name = "masked-LM head"
        elif kind == "Dense":
            ends = (layer.kernel.shape[0], layer.units)
            activation = layer.activation.__name__
            detail = f"{ends[0]:,} to {ends[1]:,}" + f", {activation}" * (activation != "linear")
        else:
            detail = str(getattr(layer, "pooling", ""))
            detail = {"EncoderBlock": "encoder block"}.get(kind, detail)
        parts.append(ModelPart(name, detail, _count(counts, layer.name), "head"))
    return parts


def _named(layer: str, tasks: Any) -> str:
    """A layer's name as words; a task's number gives way to its name."""
    if layer.startswith("task_"):
        _, number, rest = layer.split("_", 2)
        return f"{clipped(list(tasks)[int(number)], 14)}: {rest}"
    return layer.replace("_", " ")


def _range(values: Any) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"
