"""Encoder blocks in int8 on OpenVINO: weights and activations, calibrated on cells."""

import contextlib
import hashlib
import io
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from keras_geneformer.backend import require_backend
from keras_geneformer.compression.block_inputs import blocks_in_order

STATES, MASK = "hidden_states", "padding_mask"
"""Inputs of the graph of a block."""


class Int8Block:
    """What stands for an encoder block: its graph, whose matrix products are in int8.

    Args:
        graph: an `openvino.Model` from `hidden_states` (batch, length, width) float32 and
            `padding_mask` (batch, length) int32 to hidden states.

    Raises:
        ValueError: a graph of other inputs or outputs.
    """

    def __init__(self, graph: Any) -> None:
        kinds = {
            port.get_any_name(): (port.get_partial_shape().rank.get_length(), port.element_type)
            for port in graph.inputs
        }
        found = {name: (rank, kind.get_type_name()) for name, (rank, kind) in kinds.items()}
        expected = {STATES: (3, "f32"), MASK: (2, "i32")}
        if found != expected or len(graph.outputs) != 1:
            raise ValueError(
                f"The graph of an encoder block has the inputs {found}; expected {expected} and "
                "one output. Quantize the model again."
            )
        self.graph = graph

    def __call__(self, x: Any, padding_mask: Any, cell_numbers: Any, positions: Any) -> Any:
        """Encode `x`, as `EncoderBlock` does.

        Raises:
            ValueError: rows of several cells, which only training has.
        """
        from keras_geneformer.data.openvino_forward import spliced

        if cell_numbers is not None:
            raise ValueError(
                "Received rows of several cells for a block in int8; expected one cell a row."
            )
        if padding_mask is None:
            padding_mask = ops.ones(ops.shape(x)[:2], dtype="int32")
        tensors = {STATES: ops.cast(x, "float32"), MASK: ops.cast(padding_mask, "int32")}
        states = spliced(self.graph, tensors)
        if positions is not None:
            states = ops.take_along_axis(states, positions[:, :, None], axis=1)
        return ops.cast(states, x.dtype)

    @property
    def checksum(self) -> bytes:
        """sha256 over the constants of the graph."""
        constants = [op for op in self.graph.get_ops() if op.get_type_name() == "Constant"]
        digests = sorted(hashlib.sha256(op.data.tobytes()).digest() for op in constants)
        return hashlib.sha256(b"".join(digests)).digest()

    def save(self, path: Path) -> None:
        """Write the graph: `path` with the suffixes .xml and .bin."""
        import openvino as ov

        ov.save_model(self.graph, path.with_suffix(".xml"), compress_to_fp16=False)

    @classmethod
    def load(cls, path: Path) -> "Int8Block":
        """Read a graph that `save` wrote."""
        import openvino as ov

        core = ov.Core()
        # What is mapped would tie the model to files that may be replaced.
        core.set_property({"ENABLE_MMAP": False})
        return cls(core.read_model(path.with_suffix(".xml")))


def int8_blocks_of(model: Any, cells: Any) -> dict[str, Int8Block]:
    """What can stand for each encoder block of a model, by the block's name.

    Args:
        model: a backbone, or a model that stands on one, in float.
        cells: a `CellDataset` to calibrate with, all of it.

    Raises:
        ImportError: NNCF is not installed.
    """
    from keras_geneformer.data.openvino_forward import (
        compile_graph,
        compile_openvino_function,
        traced_graph,
    )

    backbone = getattr(model, "backbone", model)
    embed = compile_openvino_function(backbone.get_layer("embeddings"))
    lists = [np.asarray(cells[row], dtype=np.int32)[None] for row in range(len(cells))]
    states = [np.asarray(embed(ids), dtype=np.float32) for ids in lists]
    masks = [np.ones_like(ids) for ids in lists]
    kinds = {STATES: ((None, None, backbone.hidden_dim), "float32"), MASK: ((None, None), "int32")}
    blocks = {}
    for block in blocks_in_order(model):
        graph = traced_graph(
            lambda tensors, block=block: block(tensors[STATES], tensors[MASK], training=False),
            kinds,
        )
        compiled = compile_graph(graph)
        above = [np.array(compiled([x, mask])[0]) for x, mask in zip(states, masks)]
        samples = [{STATES: x, MASK: mask} for x, mask in zip(states, masks)]
        blocks[block.name] = Int8Block(int8_graph(graph, samples))
        # The blocks above are calibrated on what blocks in float give.
        states = above
    return blocks


def int8_graph(graph: Any, samples: list[dict[str, np.ndarray]]) -> Any:
    """A graph with its matrix products in int8, by NNCF's quantization after training.

    Weights and activations are rounded to 8 bits (Jacob et al., 2018, arXiv:1712.05877; smoothed as
    by Xiao et al., 2023, arXiv:2211.10438), to ranges that samples show; LayerNorm, softmax and
    sums stay float32.

    Args:
        graph: an `openvino.Model`.
        samples: inputs, by their names.

    Raises:
        ImportError: NNCF is not installed.
    """
    try:
        # NNCF tells its makers that it is used unless it believes itself under test; its import and
        # its progress bars write to the console.
        os.environ.setdefault("NNCF_CI", "1")
        with contextlib.redirect_stdout(io.StringIO()):
            import nncf
    except ImportError as error:
        raise ImportError(
            "Rounding activations to int8 needs NNCF: install it with "
            "`pip install 'keras_geneformer[openvino]'`."
        ) from error
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):
        return nncf.quantize(
            graph,
            nncf.Dataset(samples),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(samples),
        )


def require_openvino(what: str) -> None:
    """Raise a ValueError where the backend is another than openvino.

    Args:
        what: needs it, as the subject of the sentence.
    """
    backend = require_backend()
    if backend != "openvino":
        raise ValueError(
            f"{what} needs the openvino backend, and this one is {backend!r}: set "
            "KERAS_BACKEND=openvino before Keras is imported (or --backend openvino); "
            "quantize(model, 'int8') is for every backend."
        )
