"""The encoder on tokens that are there in part, and at ranks between two, for gradients.

A deletion takes a token from what the others attend to, and moves all tokens below it up one rank.
Both are made continuous here. A gate multiplies the weight that a token has in attention, 1 as it
is and 0 deleted; a shift slides a token's rank embedding towards that of the rank above, 0 as it
is and 1 there.
"""

from typing import Any

import numpy as np
from keras import ops

from keras_geneformer.analysis.perturbation.pullbacks import forward_of, pullback_of
from keras_geneformer.backend import BACKENDS, require_backend

_SMALLEST_BUCKET = 32


class GatedEncoder:
    """A backbone up to one of its layers, and its derivatives in the gates and shifts of tokens.

    Block by block: the memory that a backward pass takes is that of one block, whatever their
    number (0.7 GB more at 2048 tokens and 4 heads, on PyTorch). Each block is run twice for that.

    Args:
        backbone: a `GeneformerBackbone`.
        layer: as in `GeneformerBackbone.hidden_state_model`.

    Raises:
        ValueError: there is no such layer; the backend takes no gradients.

    Example:
        >>> import numpy as np
        >>> from keras_geneformer.testing import tiny_backbone
        >>> encoder = GatedEncoder(tiny_backbone(), -2)
        >>> encoder.states(np.array([5, 7, 9]), np.zeros(3)).shape
        (3, 32)
    """

    def __init__(self, backbone: Any, layer: int) -> None:
        backend = require_backend()
        if backend not in BACKENDS:
            raise ValueError(
                f"The Keras backend is {backend!r}, which takes no gradients; expected "
                f"{', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}. Set KERAS_BACKEND before Keras is "
                "imported, or screen otherwise."
            )
        backbone.hidden_state_model(layer)
        count = layer + backbone.num_layers + 1 if layer < 0 else layer
        self.embeddings = backbone.get_layer("embeddings")
        self.blocks = [backbone.get_layer(f"encoder_block_{number}") for number in range(count)]
        self._longest = backbone.max_sequence_length
        self._padded = backend == "jax"
        self._embed = forward_of(_slid, self.embeddings)
        self._pull_embed = pullback_of(_slid, self.embeddings)
        self._alike: dict[Any, tuple[Any, Any]] = {}

    def states(
        self, ids: np.ndarray, shifts: np.ndarray, log_gates: np.ndarray | None = None
    ) -> np.ndarray:
        """Hidden states of a cell.

        Args:
            ids: (N,) tokens.
            shifts: (N,) of each token, 0 to 1.
            log_gates: (N,) log of each token's gate; 0 by default, -1e30 for a deleted one. A
                token's own weight in its own attention has no gate: what it becomes when it is
                deleted is of no matter, and how it changes would be.

        Returns:
            (N, D) float32.
        """
        return self.run(ids, shifts, log_gates).states

    def run(
        self, ids: np.ndarray, shifts: np.ndarray, log_gates: np.ndarray | None = None
    ) -> "_Run":
        """As `states`, keeping what `derivatives` needs."""
        tensors = self._tensors(ids, shifts, log_gates)
        x = self._embed(self.embeddings, tensors["shifts"], tensors["none"], tensors["ids"])
        inputs = []
        for block in self.blocks:
            inputs.append(x)
            x = self._compiled(block)[0](block, x, tensors["gates"], tensors["real"])
        states = np.asarray(ops.convert_to_numpy(x), dtype=np.float32)[: len(ids)]
        return _Run(tensors, inputs, states)

    def derivatives(
        self, run: "_Run", vectors: list[np.ndarray], pairs: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of projected states, in the gates and in the shifts.

        Args:
            run: from `run`, with gates of 1.
            vectors: R arrays (N, D): what the states are multiplied with, and summed.
            pairs: tell the gates of a token apart by the token that attends through them.

        Returns:
            (R, N) the sum of the derivatives in all gates of a token, or (R, N, N) those in the
            gate of the second token as the first attends through it; and (R, N) those in the
            shifts. float32.
        """
        tensors, length = run.tensors, len(run.states)
        real = tensors["real"]
        size = int(real.shape[0])
        gates = ops.zeros((size if pairs else 1, size), dtype="float32")
        pulled = [
            ops.convert_to_tensor(np.pad(vector, ((0, size - length), (0, 0))), dtype="float32")
            for vector in vectors
        ]
        of_gates = [gates] * len(pulled)
        for block, x in zip(self.blocks[::-1], run.inputs[::-1]):
            both = self._compiled(block)[1](block, pulled, x, gates, real)
            pulled = [pair[0] for pair in both]
            of_gates = [total + pair[1] for total, pair in zip(of_gates, both)]
        both = self._pull_embed(
            self.embeddings, pulled, tensors["shifts"], tensors["none"], tensors["ids"]
        )
        in_gates = np.stack([np.asarray(ops.convert_to_numpy(total)) for total in of_gates])
        in_shifts = np.stack([np.asarray(ops.convert_to_numpy(pair[0])) for pair in both])
        in_gates = in_gates[:, :length, :length] if pairs else in_gates[:, 0, :length]
        return in_gates, in_shifts[:, :length]

    def _compiled(self, block: Any) -> tuple[Any, Any]:
        """The block's forward and pullback, shared by blocks of one shape."""
        shapes = tuple((tuple(variable.shape), variable.dtype) for variable in block.variables)
        if shapes not in self._alike:
            self._alike[shapes] = forward_of(_gated, block), pullback_of(_gated, block)
        return self._alike[shapes]

    def _tensors(
        self, ids: np.ndarray, shifts: np.ndarray, log_gates: np.ndarray | None
    ) -> dict[str, Any]:
        length = len(ids)
        if length > self._longest:
            raise ValueError(
                f"Received a cell of {length} tokens; this model has {self._longest} positions. "
                f"Truncate the cells to {self._longest} tokens."
            )
        # XLA compiles each shape: there are two lengths for each power of two.
        size = min(_bucket(length), self._longest) if self._padded else length
        fill = (0, size - length)
        gates = np.zeros(length) if log_gates is None else log_gates
        arrays = {
            "ids": np.pad(ids, fill).astype(np.int32),
            "shifts": np.pad(shifts, fill).astype(np.float32),
            "real": np.pad(np.ones(length, np.float32), fill),
            "gates": np.pad(gates, fill)[None].astype(np.float32),
            "none": np.zeros((), np.float32),
        }
        return {name: ops.convert_to_tensor(array) for name, array in arrays.items()}


class _Run:
    """One forward pass: the tensors that went in, each block's input, and the states."""

    def __init__(self, tensors: dict[str, Any], inputs: list[Any], states: np.ndarray) -> None:
        self.tensors = tensors
        self.inputs = inputs
        self.states = states


def _slid(layer: Any, shifts: Any, none: Any, ids: Any) -> Any:
    """`GeneEmbeddings` of (N,) tokens at shifted ranks: (N, D). `none` is added, and is 0."""
    ranks = layer.position_table[: ops.shape(ids)[0]]
    above = ops.concatenate([ranks[:1], ranks[:-1]], axis=0)
    ranks = ranks + shifts[:, None] * (above - ranks) + none
    x = layer.token_embedding(ids)
    return layer.normalization(x + ops.cast(ranks + layer.segment_table[0], x.dtype))


def _gated(block: Any, x: Any, log_gates: Any, real: Any) -> Any:
    """`EncoderBlock` of (N, D) states whose attention has gates, (1, N) or (N, N)."""
    attention = block.attention
    length = ops.shape(x)[0]
    heads = (length, attention.num_heads, attention.head_dim)
    query, key, value = (
        ops.reshape(project(x), heads)
        for project in (attention.query, attention.key, attention.value)
    )
    scores = ops.einsum("qhd,khd->hqk", query * heads[2] ** -0.5, key)
    # A token always sees itself: see GatedEncoder.states.
    others = 1.0 - ops.eye(length, dtype="float32")
    bias = log_gates * others + (real[None] - 1.0) * 1e30
    weights = ops.softmax(ops.cast(scores, "float32") + bias[None], axis=-1)
    attended = ops.einsum("hqk,khd->qhd", ops.cast(weights, value.dtype), value)
    attended = attention.output_projection(ops.reshape(attended, (length, heads[1] * heads[2])))
    x = block.attention_normalization(x + attended)
    expanded = block.output_projection(block.intermediate(x))
    return block.output_normalization(x + expanded)


def _bucket(length: int) -> int:
    size = _SMALLEST_BUCKET
    while size < length:
        size = size * 3 // 2 if size & (size - 1) == 0 else size // 3 * 4
    return size
