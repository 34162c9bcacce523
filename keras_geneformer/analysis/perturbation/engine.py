"""Perturbed copies of a cell, run through a model and compared with the cell on the device."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
from keras import ops

from keras_geneformer.backend import require_backend
from keras_geneformer.data.buckets import bucket_lengths

FEW_ROWS = (1, 4, 16, 64)
"""Rows that a batch is filled up to, where each shape is compiled and it is not a full one."""


class Compared(NamedTuple):
    """What became of perturbed copies of one cell; float32 arrays of the host.

    With d the hidden state of a token after less that before (0 for a token that was not there):
    """

    squares: np.ndarray | None
    """(variants, length) |d|^2 of each token; None where only the first token is computed."""
    products: np.ndarray | None
    """(variants, length) d . before of each token; None likewise."""
    gene_sum: np.ndarray | None
    """(variants, hidden_dim) sum of d over genes; None likewise."""
    first: np.ndarray
    """(variants, hidden_dim) state of the first token after."""
    scores: np.ndarray | None
    """(variants, classes) of the classifier; None where there is none."""


class Engine(Protocol):
    """What computes: `VariantEngine`, or one that quantizes it."""

    def original(self, tokens: np.ndarray) -> np.ndarray:
        """Hidden states of a cell, (tokens, hidden_dim) or (1, hidden_dim), float32."""

    def original_scores(self, tokens: np.ndarray) -> np.ndarray:
        """Scores of a cell by the classifier, (classes,) float32."""

    def compare(
        self, tokens: np.ndarray, original: np.ndarray, views: np.ndarray, size: int | None = None
    ) -> Compared:
        """Run the variants that `views` show of `tokens`, and compare them with the original."""


def states_model(backbone: Any, layer: int, *, first: bool = False, masked: bool = False) -> Any:
    """The part of a backbone up to one of its layers, for cells of one length without padding.

    Args:
        backbone: a `GeneformerBackbone`.
        layer: as in `GeneformerBackbone.hidden_state_model`.
        first: give the state of the first token alone. The last block then computes that alone.
        masked: take `padding_mask` beside `token_ids`, for lengths that are not one.

    Returns:
        A `keras.Model` that shares its weights with the backbone, giving (B, N, D) or (B, 1, D).

    Raises:
        ValueError: there is no such layer.

    Example:
        >>> import numpy as np
        >>> from keras_geneformer.testing import tiny_backbone
        >>> model = states_model(tiny_backbone(), -2, first=True)
        >>> tuple(model({"token_ids": np.array([[5, 7, 9]])}).shape)
        (1, 1, 32)
    """
    backbone.hidden_state_model(layer)
    blocks = layer + backbone.num_layers + 1 if layer < 0 else layer
    names = ["token_ids", "padding_mask"] if masked else ["token_ids"]
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
    x = backbone.get_layer("embeddings")(inputs["token_ids"])
    looks = {"padding_mask": inputs["padding_mask"]} if masked else {}
    for number in range(blocks):
        if first and number == blocks - 1:
            looks["positions"] = ops.zeros_like(inputs["token_ids"][:, :1])
        x = backbone.get_layer(f"encoder_block_{number}")(x, **looks)
    if first and not blocks:
        x = x[:, :1]
    return keras.Model(inputs, x, name=f"states_{blocks}")


def engine_for(backbone: Any, *, classifier: Any, lengths: np.ndarray, **options: Any) -> Engine:
    """An engine with the arguments of `VariantEngine`.

    One that is compiled is kept with the backbone, for the next run on it; but not on openvino,
    where what is compiled holds the weights of that moment.
    """
    if classifier is not None or require_backend() == "openvino":
        return VariantEngine(backbone, classifier=classifier, lengths=lengths, **options)
    # What is compiled sees new values of the variables it knows; adapters and quantized kernels are
    # other variables.
    variables = [id(variable) for variable in backbone.variables]
    # Kept out of Keras's sight, which would look for layers in it.
    known, kept = vars(backbone).get("_variant_engines", (None, {}))
    if known != variables:
        kept = {}
        vars(backbone)["_variant_engines"] = (variables, kept)
    key = (options["layer"], options["first"], *map(int, options["special"]))
    if key not in kept:
        kept[key] = VariantEngine(backbone, lengths=lengths, **options)
    kept[key].expect(lengths)
    return kept[key]


class VariantEngine:
    """Runs perturbed copies of cells.

    A copy is a row of places in the cell's tokens: its token ids, and the original states that its
    own are compared with, are taken from these on the device. What comes back is three numbers a
    token and two vectors a copy. Where copies have one length, as those of a cell do, there is no
    padding and no mask; XLA, which compiles each shape, gets one of a few lengths on JAX, padded.

    Differences are taken in float32, where that of two close numbers is exact, and the rest is
    computed from them in float64 on the host: taking the cosine of states in float32 would
    lose the effect of one gene in a long cell.

    Args:
        backbone: a `GeneformerBackbone`.
        layer: whose states.
        first: only the first token's state is wanted.
        special: token ids that are no genes.
        classifier: a `GeneformerCellClassifier` whose scores are wanted too.
        lengths: of all cells.
        network: what gives the states in place of the backbone: called as the `keras.Model` that
            `states_model` makes.
    """

    def __init__(
        self,
        backbone: Any,
        *,
        layer: int,
        first: bool,
        special: np.ndarray,
        classifier: Any = None,
        lengths: np.ndarray,
        network: Any = None,
    ) -> None:
        self.first = first
        self.special = special
        self.hidden_dim = backbone.hidden_dim
        self.longest = backbone.max_sequence_length
        self.buckets: np.ndarray | None = None
        self.expect(lengths)
        masked = self.buckets is not None
        model = network or states_model(backbone, layer, first=first, masked=masked)
        self._compare = _compiled(_comparison(model, first, masked), [model])
        self._states = _compiled(_forward(model, masked), [model])
        self._scores = None
        if classifier is not None:
            self._scores = _compiled(_forward(classifier, True), [classifier])

    def expect(self, lengths: np.ndarray) -> None:
        """Choose the lengths to pad to, where shapes are compiled, for cells of these lengths."""
        if require_backend() == "jax":
            self.buckets = np.union1d(bucket_lengths(np.asarray(lengths)), [self.longest])

    def original(self, tokens: np.ndarray) -> np.ndarray:
        """Hidden states of a cell, (tokens, hidden_dim) or (1, hidden_dim), float32."""
        views = np.arange(len(tokens), dtype=np.int32)[None]
        states = self._states(*self._padded(tokens, views))
        return _host(states)[0, : 1 if self.first else len(tokens)]

    def original_scores(self, tokens: np.ndarray) -> np.ndarray:
        """Scores of a cell by the classifier, (classes,) float32."""
        assert self._scores is not None
        views = np.arange(len(tokens), dtype=np.int32)[None]
        return _host(self._scores(*self._padded(tokens, views)))[0]

    def compare(
        self, tokens: np.ndarray, original: np.ndarray, views: np.ndarray, size: int | None = None
    ) -> Compared:
        """Run the variants that `views` show of `tokens`, and compare them with the original.

        Args:
            tokens: (tokens,) int32: the original's, and any that variants add.
            original: from `original`, of the first of them.
            views: (variants, length) int32 places in `tokens`.
            size: variants of a full batch, where this may be a smaller one.

        Returns:
            `Compared`.
        """
        count, length = views.shape
        ids, shown, real = self._padded(tokens, views, size)
        before = np.zeros((len(ids), self.hidden_dim), dtype=np.float32)
        before[: len(original)] = original
        genes = ~np.isin(ids, self.special)
        outputs = self._compare(ids, shown, real, before, genes.astype(np.float32))
        scores = None
        if self._scores is not None:
            scores = _host(self._scores(ids, shown, real))[:count]
        if self.first:
            return Compared(None, None, None, _host(outputs[0])[:count], scores)
        squares, products, gene_sum, first = (_host(output)[:count] for output in outputs)
        return Compared(squares[:, :length], products[:, :length], gene_sum, first, scores)

    def _padded(
        self, tokens: np.ndarray, views: np.ndarray, size: int | None = None
    ) -> tuple[np.ndarray, ...]:
        """Tokens, views and which places of a view are real, in shapes that are compiled once."""
        real = np.ones(views.shape[1], dtype=np.int32)
        if self.buckets is None:
            return tokens, views, real
        rows = min(n for n in (*FEW_ROWS, size or len(views)) if n >= len(views))
        length = self._bucket(max(views.shape[1], min(len(tokens), int(self.buckets[-1]))))
        views = np.pad(views, ((0, rows - len(views)), (0, 0)), mode="edge")
        views = np.pad(views, ((0, 0), (0, length - views.shape[1])))
        real = np.pad(real, (0, length - len(real)))
        return np.pad(tokens, (0, self._bucket(len(tokens)) - len(tokens))), views, real

    def _bucket(self, length: int) -> int:
        assert self.buckets is not None
        place = np.searchsorted(self.buckets, length)
        return int(self.buckets[place]) if place < len(self.buckets) else length


def _forward(model: Any, masked: bool) -> Callable[..., Any]:
    def forward(tokens: Any, views: Any, real: Any) -> Any:
        token_ids = ops.take(tokens, views)
        inputs = {"token_ids": token_ids}
        if masked:
            inputs["padding_mask"] = ops.ones_like(token_ids) * real
        return ops.cast(model(inputs, training=False), "float32")

    return forward


def _comparison(model: Any, first: bool, masked: bool) -> Callable[..., Any]:
    forward = _forward(model, masked)

    def compare(tokens: Any, views: Any, real: Any, before: Any, genes: Any) -> tuple[Any, ...]:
        after = forward(tokens, views, real)
        if first:
            return (after[:, 0],)
        before = ops.take(before, views, axis=0)
        change = after - before
        genes = ops.take(genes, views) * ops.cast(real, "float32")
        return (
            ops.sum(change * change, axis=-1),
            ops.sum(change * before, axis=-1),
            ops.matmul(genes[:, None], change)[:, 0],
            after[:, 0],
        )

    return compare


def _compiled(function: Callable[..., Any], models: list[Any]) -> Callable[..., Any]:
    """Compile a function of arrays, once for all shapes where the backend can."""
    backend = require_backend()
    if backend == "tensorflow":
        import tensorflow as tf

        arguments = (
            tf.TensorSpec([None], "int32"),
            tf.TensorSpec([None, None], "int32"),
            tf.TensorSpec([None], "int32"),
            tf.TensorSpec([None, None], "float32"),
            tf.TensorSpec([None], "float32"),
        )
        number = function.__code__.co_argcount
        return tf.function(function, input_signature=arguments[:number])
    if backend == "jax":
        import jax

        variables = [variable for model in models for variable in model.variables]

        @jax.jit
        def stateless(values: list[Any], *arrays: Any) -> Any:
            with keras.StatelessScope(state_mapping=list(zip(variables, values))):
                return function(*arrays)

        return lambda *arrays: stateless([variable.value for variable in variables], *arrays)
    if backend == "torch":
        import torch

        def eager(*arrays: Any) -> Any:
            with torch.inference_mode():
                return function(*(ops.convert_to_tensor(array) for array in arrays))

        return eager
    if backend == "openvino":
        from keras_geneformer.data.openvino_forward import compile_openvino_function

        return compile_openvino_function(function)
    raise ValueError(
        f"The Keras backend is {backend!r}; expected tensorflow, jax, torch or openvino. Set "
        "KERAS_BACKEND before Keras is imported."
    )


def _host(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))
