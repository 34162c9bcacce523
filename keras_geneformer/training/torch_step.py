"""The pretraining step on PyTorch, on one device."""

from typing import Any

import keras
import torch

from keras_geneformer.training.pretraining_model import means


def train_step(model: Any, data: Any) -> dict[str, Any]:
    """One optimizer step.

    Args:
        model: a compiled `PretrainingModel`.
        data: the batch, `(inputs, labels, weights)`.

    Returns:
        `loss`, `accuracy`, `top5` and `masked` of the batch.
    """
    model.zero_grad()
    sums: dict[str, Any] = {}
    for piece in _pieces(data, model.accumulate):
        added = model(piece, training=True)
        added["loss"].backward()
        sums = {name: sums.get(name, 0.0) + value.detach() for name, value in added.items()}
    masked = torch.clamp(sums["masked"], min=1.0)
    gradients = [variable.value.grad for variable in model.trainable_variables]
    with torch.no_grad():
        gradients = [None if g is None else g / masked.to(g.dtype) for g in gradients]
        model.optimizer.apply(gradients, model.trainable_variables)
    return means(sums)


def test_step(model: Any, data: Any) -> dict[str, Any]:
    """Loss and metrics of a batch."""
    with torch.no_grad():
        return means(model(data, training=False))


def _pieces(data: Any, number: int) -> list:
    """The batch in so many micro-batches of every `number`-th row."""

    def piece(index: int) -> Any:
        return keras.tree.map_structure(lambda array: array[index::number], data)

    return [piece(index) for index in range(number)]
