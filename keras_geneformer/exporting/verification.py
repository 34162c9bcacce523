"""Is an exported model the model it was made from?"""

import os
from typing import Any

import keras
import numpy as np

from keras_geneformer.data.inference import compile_forward
from keras_geneformer.exporting.runtimes import Run, load_exported, read_export

ABSOLUTE, RELATIVE = 1e-5, 1e-4
"""The difference that an exported model may have from Keras, in float32."""

_SHAPES = ((1, 17), (3, 64), (2, 100), (4, 5))
"""Cells and tokens of the batches: no two alike, and one of a single cell."""


def verify_export(directory: str | os.PathLike[str], model: Any) -> float:
    """Run an exported model in its runtime and compare it with Keras.

    The cells are made up: tokens of the vocabulary in random order, of unlike lengths, padded.

    Args:
        directory: that `export_model` wrote.
        model: the Keras model it was made from.

    Returns:
        The largest absolute difference of any output, padding left out.

    Raises:
        ImportError: the runtime is not installed.
        ValueError: the difference is beyond 1e-5 + 1e-4 of the value, or a value is not finite.
    """
    description = read_export(directory)
    outputs = {output["name"]: output["shape"] for output in description["outputs"]}
    run, forward = load_exported(directory), _keras(model, next(iter(outputs)))
    largest = 0.0
    for seed, (cells, length) in enumerate(_SHAPES):
        length = min(length, description["max_length"])
        inputs = sample_inputs(description, cells, length, seed)
        given, expected = run(inputs), forward(inputs)
        for name, shape in outputs.items():
            real = inputs["padding_mask"].astype(bool) if shape[1] == "length" else slice(None)
            got, wanted = np.asarray(given[name])[real], expected[name][real]
            largest = max(largest, float(np.abs(got - wanted).max()))
            if not np.allclose(got, wanted, atol=ABSOLUTE, rtol=RELATIVE):
                raise ValueError(
                    f"{name} of the exported model differs by up to {largest:.3g} from Keras on "
                    f"{cells} cells of {length} tokens; expected at most {ABSOLUTE:g} + "
                    f"{RELATIVE:g} of the value. Do not use it, and report it with the versions "
                    "in its export.json."
                )
    return largest


def sample_inputs(
    description: dict[str, Any], cells: int, length: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """Made-up padded cells for an exported model.

    Args:
        description: from `read_export`.
        cells: how many.
        length: tokens of the longest; the others have half of it or more.
        seed: of the tokens.

    Returns:
        int32 arrays by the names of the model's inputs; of mask positions, three a cell.
    """
    rng = np.random.default_rng(seed)
    special = description["special_token_ids"]
    genes = np.setdiff1d(np.arange(description["vocabulary_size"]), special)
    token_ids = rng.choice(genes, (cells, length)).astype(np.int32)
    lengths = rng.integers((length + 1) // 2, length + 1, cells)
    lengths[0] = length
    padding_mask = (np.arange(length) < lengths[:, None]).astype(np.int32)
    inputs = {"token_ids": token_ids * padding_mask, "padding_mask": padding_mask}
    if any(entry["name"] == "mask_positions" for entry in description["inputs"]):
        inputs["mask_positions"] = rng.integers(0, lengths[:, None], (cells, 3)).astype(np.int32)
    return inputs


def _keras(model: Any, output: str) -> Run:
    """The model as a function of arrays, as `load_exported` gives one."""
    if not isinstance(model.output, dict):
        forward = compile_forward(model)
        return lambda inputs: {output: forward(inputs)}

    def several(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        values = model(inputs, training=False)
        return {name: keras.ops.convert_to_numpy(value) for name, value in values.items()}

    return several
