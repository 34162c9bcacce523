"""Attention with dropout on a CPU under PyTorch, block by block and recomputed backward.

PyTorch's fused CPU kernel has no dropout: with one it falls back to an unfused path that keeps
three arrays of length x length for every head. Here a block of queries is worked at a time, nothing
of that size is kept, and the backward pass computes the weights again.
"""

import math

import torch

BLOCK_BYTES = 8 * 2**20
"""Size of one block of attention weights: small enough for the processor's cache."""


def attend_with_dropout(query, key, value, real, dropout, cell_numbers=None):
    """Scaled dot-product attention with dropout on its weights.

    Args:
        query, key, value: shape `(batch, heads, length, head_dim)`.
        real: bool of shape `(batch, length)`, false at padding; None where all are real.
        dropout: rate, between 0 and 1.
        cell_numbers: in place of `real`, integers of shape `(batch, length)`: a query sees the keys
            of its own number alone.

    Returns:
        Shape and dtype of `query`.
    """
    seed = int(torch.randint(2**62, ()).item())
    bias = None
    if real is not None and not bool(real.all()):
        bias = torch.zeros(real.shape, dtype=torch.float32).masked_fill_(~real, -1e30)
        bias = bias[:, None, None, :]
    return _BlockwiseAttention.apply(query, key, value, bias, cell_numbers, dropout, seed)


class _BlockwiseAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, bias, cell_numbers, dropout, seed):
        out = torch.empty_like(query)
        normalizers = []
        generator = torch.Generator().manual_seed(seed)
        for rows in _blocks(query):
            weights = _scores(query, key, rows, bias, cell_numbers)
            normalizer = torch.logsumexp(weights, -1, keepdim=True)
            weights.sub_(normalizer).exp_()
            _drop(weights, dropout, generator)
            out[:, :, rows] = (weights.to(value.dtype) @ value).div_(1 - dropout)
            normalizers.append(normalizer)
        normalizer = torch.cat(normalizers, 2)
        ctx.save_for_backward(query, key, value, bias, cell_numbers, out, normalizer)
        ctx.dropout, ctx.seed = dropout, seed
        return out

    @staticmethod
    def backward(ctx, grad):
        query, key, value, bias, cell_numbers, out, normalizer = ctx.saved_tensors
        grad = grad.contiguous()
        generator = torch.Generator().manual_seed(ctx.seed)
        keep = 1 - ctx.dropout
        scale = query.shape[-1] ** -0.5
        grad_query = torch.empty_like(query)
        grad_key, grad_value = torch.zeros_like(key), torch.zeros_like(value)
        inner = (grad.float() * out.float()).sum(-1, keepdim=True)
        for rows in _blocks(query):
            weights = _scores(query, key, rows, bias, cell_numbers)
            weights.sub_(normalizer[:, :, rows]).exp_()
            dropped = _drop(weights.clone(), ctx.dropout, generator).div_(keep)
            grad_value += dropped.to(value.dtype).transpose(-2, -1) @ grad[:, :, rows]
            # d(weights) = dropped * (grad . value) - weights * (grad . out)
            dropped.mul_((grad[:, :, rows] @ value.transpose(-2, -1)).float())
            dropped.sub_(weights.mul_(inner[:, :, rows])).mul_(scale)
            dropped = dropped.to(query.dtype)
            grad_query[:, :, rows] = dropped @ key
            grad_key += dropped.transpose(-2, -1) @ query[:, :, rows]
        return grad_query, grad_key, grad_value, None, None, None, None


def _blocks(query):
    """Slices of the queries whose weights fill a block."""
    batch, heads, length, _ = query.shape
    step = max(16, BLOCK_BYTES // (4 * batch * heads * length))
    return [slice(start, start + step) for start in range(0, length, step)]


def _scores(query, key, rows, bias, cell_numbers):
    """Scores of the keys for a block of queries, with those that it may not see at -1e30."""
    scores = (query[:, :, rows] @ key.transpose(-2, -1)).float().mul_(query.shape[-1] ** -0.5)
    if cell_numbers is not None:
        unseen = cell_numbers[:, None, rows, None] != cell_numbers[:, None, None, :]
        scores.masked_fill_(unseen, -1e30)
    return scores if bias is None else scores.add_(bias)


def _drop(weights, rate, generator):
    """Zero each weight with probability `rate`, in place.

    Hits fall on the weights as a Poisson process whose mean makes a weight escape with probability
    1 - rate: each weight is dropped independently, at a cost that falls with the rate.
    """
    flat = weights.view(-1)
    mean = torch.tensor(float(flat.numel()) * -math.log1p(-rate), dtype=torch.float64)
    hits = int(torch.poisson(mean, generator=generator).item())
    flat[torch.randint(flat.numel(), (hits,), generator=generator)] = 0.0
    return weights
