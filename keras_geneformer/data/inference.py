"""Running a model over batches, forward only, compiled for the backend in use."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from keras_geneformer.backend import require_backend
from keras_geneformer.data.loader import CellBatches

TOKENS_A_BATCH = 8192
"""Padded tokens in one batch, by default, when a model only infers."""

Forward = Callable[[dict[str, np.ndarray]], np.ndarray]


def compile_forward(model: Any) -> Forward:
    """Compile a model's forward pass, once for all batch shapes where the backend can.

    TensorFlow traces one graph for all shapes (without XLA, which would compile anew for each),
    JAX jits once a shape, PyTorch runs eagerly without gradients, and OpenVINO compiles one graph
    for all shapes, in float32.

    Args:
        model: a Keras model with dict inputs and one output.

    Returns:
        A function from a dict of arrays to the output, as a float32 numpy array. Weights changed
        after compiling are seen, except on openvino.

    Raises:
        ValueError: the backend is none of these.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> import numpy as np
        >>> forward = compile_forward(tiny_backbone())
        >>> ones = np.ones((2, 16), "int32")
        >>> forward({"token_ids": ones, "padding_mask": ones}).shape
        (2, 16, 32)
    """
    backend = require_backend()
    names = [tensor.name.split(":")[0] for tensor in model.inputs]
    if backend == "tensorflow":
        import tensorflow as tf

        signature = {
            name: tf.TensorSpec([None, *([None] * (len(tensor.shape) - 1))], tensor.dtype, name)
            for name, tensor in zip(names, model.inputs)
        }
        graph = tf.function(
            lambda inputs: model(inputs, training=False), input_signature=[signature]
        )
        return lambda inputs: np.asarray(
            graph({name: tf.convert_to_tensor(inputs[name]) for name in names}), dtype=np.float32
        )
    if backend == "jax":
        import jax

        step = jax.jit(
            lambda trained, fixed, inputs: model.stateless_call(
                trained, fixed, inputs, training=False
            )[0]
        )

        def jax_forward(inputs: dict[str, np.ndarray]) -> np.ndarray:
            trained = [variable.value for variable in model.trainable_variables]
            fixed = [variable.value for variable in model.non_trainable_variables]
            return np.asarray(step(trained, fixed, {n: inputs[n] for n in names}), np.float32)

        return jax_forward
    if backend == "torch":
        import torch

        def torch_forward(inputs: dict[str, np.ndarray]) -> np.ndarray:
            with torch.inference_mode():
                outputs = model({name: inputs[name] for name in names}, training=False)
                return outputs.float().cpu().numpy()

        return torch_forward
    if backend == "openvino":
        from keras_geneformer.data.openvino_forward import compile_openvino

        return compile_openvino(model)
    raise ValueError(
        f"The Keras backend is {backend!r}; expected tensorflow, jax, torch or openvino. Set "
        "KERAS_BACKEND before Keras is imported."
    )


def run_batches(
    forward: Forward,
    batches: CellBatches,
    progress: bool = False,
    description: str = "",
    start: int = 0,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]]:
    """Run a compiled model over all batches.

    Args:
        forward: from `compile_forward`.
        batches: without masking.
        progress: show a bar that counts cells.
        description: of the bar.
        start: the first batch that is run; those before it are counted as done.

    Yields:
        For each batch the rows of its cells in the dataset, its inputs, and the model's output as
        float32 numpy.
    """
    done = sum(len(batches.rows(index)) for index in range(start))
    with tqdm(
        total=len(batches.cells), desc=description, unit="cell", disable=not progress, initial=done
    ) as bar:
        for index in range(start, len(batches)):
            inputs = batches[index][0]
            yield batches.rows(index), inputs, forward(inputs)
            bar.update(len(inputs["token_ids"]))


def inference_batches(
    cells: Any,
    batch_size: int | None = None,
    max_length: int | None = None,
    in_order: bool = False,
) -> CellBatches:
    """Batches to infer on: longest cells first, in a fixed order.

    On JAX, which compiles every shape, few cells are padded to few lengths.

    Args:
        cells: a `CellDataset`.
        batch_size: cells a batch; by default as many as 8192 tokens hold (4 cells of 2048 tokens,
            16 of 512), which keeps attention's memory flat whatever the length.
        max_length: the model's `max_sequence_length`.
        in_order: the cells come in the order of the dataset instead.
    """
    size: dict[str, Any] = {"batch_size": batch_size}
    if batch_size is None:
        size = {"max_tokens": max(TOKENS_A_BATCH, int(np.max(cells.lengths)) + 16)}
    lengths = min(10, max(2, len(cells) // 32)) if require_backend() == "jax" else 10
    return CellBatches(
        cells, bucket_count=lengths, max_length=max_length, in_order=in_order, **size
    )
