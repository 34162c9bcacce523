"""The arithmetic of attention, by the kernel that is fastest on each backend.

Measured in benchmarks/README.md: on CPUs, TensorFlow and JAX are fastest with plain products and a
softmax (TensorFlow in blocks of queries, which also bounds its memory), PyTorch and OpenVINO with
their fused kernels. The softmax is float32 whatever the model computes in.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import keras
from keras import ops

_PLAIN: ContextVar[bool] = ContextVar("plain attention", default=False)

MASKED = -1e30
"""Added to the scores of padded keys: their weight is then exactly zero in float32."""


@contextmanager
def plain_attention() -> Iterator[None]:
    """Within it, TensorFlow traces attention as plain products and a softmax, not in blocks.

    For graphs that go to other runtimes: those fuse what they know, and LiteRT refuses the blocks
    that are empty in short rows.

    Example:
        >>> import numpy as np
        >>> from keras_geneformer.testing import tiny_backbone
        >>> ones = np.ones((1, 4), "int32")
        >>> with plain_attention():
        ...     tuple(tiny_backbone()({"token_ids": ones, "padding_mask": ones}).shape)
        (1, 4, 32)
    """
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


def attend(query, key, value, padding_mask=None, dropout=0.0, seed=None, cell_numbers=None):
    """Scaled dot-product attention in which padded keys have no weight.

    Args:
        query: shape `(batch, queries, heads, head_dim)`.
        key, value: shape `(batch, length, heads, head_dim)`.
        padding_mask: shape `(batch, length)`, nonzero at real keys; None where all are real.
        dropout: rate on the attention weights; 0 while inferring.
        seed: a `keras.random.SeedGenerator`, for the dropout (PyTorch draws from its own
            generator, which `keras.utils.set_random_seed` seeds).
        cell_numbers: in place of `padding_mask`, for rows of several cells: integers of the
            queries and of the keys, shapes `(batch, queries)` and `(batch, length)`. A query gives
            weight to the keys of its own number alone. Padding, of number 0, so attends to padding,
            and no query is without a key.

    Returns:
        Shape and dtype of `query`.
    """
    backend = keras.config.backend()
    if backend == "torch":
        return _attend_torch(query, key, value, padding_mask, dropout, cell_numbers)
    if backend == "openvino" or (not dropout and _on_jax_gpu()):
        mask = _visible(padding_mask, cell_numbers)
        return ops.nn.dot_product_attention(query, key, value, mask=mask)
    if backend == "jax" or _PLAIN.get():
        return _attend_einsum(query, key, value, padding_mask, dropout, seed, cell_numbers)
    return _attend_tensorflow(query, key, value, padding_mask, dropout, seed, cell_numbers)


def _attend_einsum(query, key, value, padding_mask, dropout, seed, cell_numbers):
    scores = ops.einsum("bqhd,bkhd->bhqk", query * query.shape[-1] ** -0.5, key)
    weights = _weights(scores, _bias(_visible(padding_mask, cell_numbers)), dropout, seed)
    return ops.einsum("bhqk,bkhd->bqhd", ops.cast(weights, value.dtype), value)


def _attend_tensorflow(query, key, value, padding_mask, dropout, seed, cell_numbers):
    from keras_geneformer.layers.tensorflow_attention import attend_in_blocks

    query, key, value = (ops.transpose(tensor, (0, 2, 1, 3)) for tensor in (query, key, value))
    seed = ops.cast(seed.next(), "int32") if dropout else None
    bias = _bias(_visible(padding_mask))
    attended = attend_in_blocks(query, key, value, bias, dropout, seed, cell_numbers)
    return ops.transpose(attended, (0, 2, 1, 3))


def _attend_torch(query, key, value, padding_mask, dropout, cell_numbers):
    import torch

    from keras_geneformer.layers.torch_attention import attend_with_dropout

    query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
    if dropout and query.device.type == "cpu":
        real = None if padding_mask is None else padding_mask.bool()
        attended = attend_with_dropout(query, key, value, real, dropout, cell_numbers)
    else:
        mask = _visible(padding_mask, cell_numbers)
        attended = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout
        )
    return attended.transpose(1, 2)


def _weights(scores, bias, dropout, seed):
    scores = ops.cast(scores, "float32")
    weights = ops.softmax(scores if bias is None else scores + bias, axis=-1)
    return keras.random.dropout(weights, dropout, seed=seed) if dropout else weights


def _visible(padding_mask, cell_numbers=None):
    """Which keys a query may see, bool, `(batch, 1, 1 or queries, length)`; None for all."""
    if cell_numbers is not None:
        of_query, of_key = cell_numbers
        return of_query[:, None, :, None] == of_key[:, None, None, :]
    if padding_mask is None:
        return None
    # Not by an index of None: LiteRT has no such operation where lengths are open.
    return ops.cast(ops.expand_dims(padding_mask, (1, 2)), "bool")


def _bias(visible):
    return None if visible is None else (1.0 - ops.cast(visible, "float32")) * MASKED


def _on_jax_gpu():
    if keras.config.backend() != "jax":
        return False
    import jax

    return jax.default_backend() == "gpu"
