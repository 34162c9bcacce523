"""What the layers of encoder blocks are given when a model reads cells: calibration needs it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from keras import ops

from keras_geneformer.compression.dense_layers import dense_layers
from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.data.inference import inference_batches
from keras_geneformer.data.openvino_forward import only_forward

CALIBRATION_CELLS = 32
"""Cells that calibrate; more hardly change what comes out."""


def calibration_sample(model: Any, cells: Any, seed: int) -> Any:
    """Some cells to calibrate with, drawn at random.

    Args:
        model: a backbone, or a model that stands on one.
        cells: a `CellDataset`.
        seed: of the draw.

    Returns:
        At most 32 of the cells, as a `CellDataset`.

    Raises:
        ValueError: these are no cells, or they and the model do not go together.
    """
    if not hasattr(cells, "token_ids"):
        raise ValueError(
            f"Received a {type(cells).__name__} as calibration; expected a CellDataset of the kind "
            "that the model is for."
        )
    backbone = getattr(model, "backbone", model)
    check_vocabulary(
        cells,
        backbone.vocabulary_checksum,
        backbone.vocabulary_size,
        backbone.max_sequence_length,
        backbone.special_token_ids,
    )
    rows = np.random.default_rng(seed).permutation(len(cells))[:CALIBRATION_CELLS]
    return cells.subset(np.sort(rows))


def blocks_in_order(model: Any) -> list[Any]:
    """The encoder blocks of a model, from the input up: those of its backbone, then of its head."""
    backbone = getattr(model, "backbone", model)
    blocks = [backbone.get_layer(f"encoder_block_{n}") for n in range(backbone.num_layers)]
    head = range(getattr(model, "head_layers", 0))
    return blocks + [model.get_layer(f"head_block_{n}") for n in head]


def calibrate_blocks(
    model: Any,
    cells: Any,
    observe: Callable[[str, np.ndarray], None],
    finish: Callable[[dict[str, Any]], None],
) -> None:
    """Show what each Dense layer of each encoder block is given, block by block from the input up.

    Args:
        model: a backbone, or a model that stands on one.
        cells: a `CellDataset`.
        observe: called with the path of a layer and its inputs at real tokens, (tokens, inputs).
        finish: called with the Dense layers of a block, by path, once all cells went through it.
            What it does to them is what the blocks above see.
    """
    plan = inference_batches(cells)
    embeddings = getattr(model, "backbone", model).get_layer("embeddings")
    states = []
    for index in range(len(plan)):
        inputs = plan[index][0]
        mask = np.asarray(inputs["padding_mask"])
        token_ids = ops.convert_to_tensor(inputs["token_ids"])
        states.append((ops.convert_to_numpy(embeddings(token_ids, training=False)), mask))
    for block in blocks_in_order(model):
        layers = dense_layers(block)
        for x, mask in states:
            with _observed(layers, mask.astype(bool), observe):
                _run(block, x, mask)
        finish(layers)
        states = [(_run(block, x, mask), mask) for x, mask in states]


def _run(block: Any, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    tensors = ops.convert_to_tensor(x), ops.convert_to_tensor(mask)
    with only_forward():
        return ops.convert_to_numpy(block(*tensors, training=False))


@contextmanager
def _observed(
    layers: dict[str, Any], real: np.ndarray, observe: Callable[[str, np.ndarray], None]
) -> Iterator[None]:
    """Show what goes into layers while the block that they belong to runs."""
    calls = {path: layer.call for path, layer in layers.items()}

    def watched(path: str) -> Callable[..., Any]:
        def call(inputs: Any, *others: Any, **named: Any) -> Any:
            observe(path, np.asarray(ops.convert_to_numpy(inputs), dtype=np.float32)[real])
            return calls[path](inputs, *others, **named)

        return call

    try:
        for path, layer in layers.items():
            layer.call = watched(path)
        yield
    finally:
        for path, layer in layers.items():
            layer.call = calls[path]
