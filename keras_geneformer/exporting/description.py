"""What goes into an exported model and what comes out, for whoever runs it without this package."""

from typing import Any

from keras_geneformer.models.backbone_of import backbone_of

_INPUTS = {
    "token_ids": (
        ["batch", "length"],
        "the cell's genes as token ids, the relatively highest first; <pad> behind them",
    ),
    "padding_mask": (["batch", "length"], "1 at real tokens, 0 at padding"),
    "mask_positions": (["batch", "masks"], "the positions to score, from 0"),
}

_SCORES = {
    "GeneformerMaskedLM": (
        ["batch", "masks", "vocabulary_size"],
        "score of every token at each position, before any softmax",
    ),
    "GeneformerCellClassifier": (
        ["batch", "num_classes"],
        "score of every class, before any softmax",
    ),
    "GeneformerGeneClassifier": (
        ["batch", "length", "num_classes"],
        "score of every class at each token, before any softmax",
    ),
}


def describe(model: Any, graph: Any, layer: int | None) -> dict[str, Any]:
    """Inputs, outputs, classes and vocabulary of a model, as `export.json` has them.

    Args:
        model: a Geneformer model.
        graph: what is exported of it: the model itself, or its hidden states.
        layer: of the hidden states; None for the model's own output.

    Returns:
        A dict of plain values.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> backbone = tiny_backbone()
        >>> describe(backbone, backbone, None)["outputs"][0]["name"]
        'hidden_states'
    """
    backbone = backbone_of(model)
    return {
        "model": type(model).__name__,
        "layer": layer,
        "inputs": [_input(tensor.name) for tensor in graph.inputs],
        "outputs": _outputs(model, backbone, layer),
        "max_length": backbone.max_sequence_length,
        "vocabulary_size": backbone.vocabulary_size,
        "vocabulary_checksum": backbone.vocabulary_checksum,
        "special_token_ids": list(backbone.special_token_ids),
    } | ({} if layer is not None else _head(model))


def _input(name: str) -> dict[str, Any]:
    shape, meaning = _INPUTS[name]
    return {"name": name, "dtype": "int32", "shape": shape, "meaning": meaning}


def _outputs(model: Any, backbone: Any, layer: int | None) -> list[dict[str, Any]]:
    def output(name: str, shape: list[str | int], meaning: str) -> dict[str, Any]:
        return {"name": name, "dtype": "float32", "shape": shape, "meaning": meaning}

    if layer is not None or model is backbone:
        depth = backbone.num_layers if layer is None else layer
        depth += (backbone.num_layers + 1) * (depth < 0)
        return [
            output(
                "hidden_states",
                ["batch", "length", backbone.hidden_dim],
                f"after {depth} of {backbone.num_layers} encoder blocks",
            )
        ]
    if hasattr(model, "tasks"):
        return [
            output(task, ["batch", len(classes)], f"score of every class of {task}")
            for task, classes in model.tasks.items()
        ]
    shape, meaning = _SCORES[type(model).__name__]
    sizes = {"vocabulary_size": backbone.vocabulary_size}
    sizes["num_classes"] = getattr(model, "num_classes", 0)
    return [output("scores", [sizes.get(axis, axis) for axis in shape], meaning)]


def _head(model: Any) -> dict[str, Any]:
    """The names of the classes, in the order of the scores; null where they have none."""
    if hasattr(model, "tasks"):
        return {"classes": {task: list(names) for task, names in model.tasks.items()}}
    names = {name: getattr(model, name) for name in ("classes", "task") if hasattr(model, name)}
    if names.get("task") == "regression":
        names |= {"offsets": list(model.offsets), "scales": list(model.scales)}
    return names
