"""Attention with dropout on a CPU under PyTorch, block by block and recomputed backward.

PyTorch's fused CPU kernel has no dropout: with one it falls back to an unfused path that keeps
three arrays of length x length for every head. Here a block of queries is worked at a time, nothing
of that size is kept, and the backward pass computes the weights again.
"""

import math

import torch

BLOCK_BYTES = 16 * 2**20
"""Size of one block of attention weights: small enough for the processor's cache."""


def attend_with_dropout(query, key, value, real, dropout, cell_numbers=None):
    """Scaled dot-product attention with dropout on its weights.

    Args:
        query: shape `(batch, heads, queries, head_dim)`.
        key, value: shape `(batch, heads, length, head_dim)`.
        real: bool of shape `(batch, length)`, false at padding; None where all are real.
        dropout: rate, between 0 and 1.
        cell_numbers: in place of `real`, integers of the queries and of the keys, shapes `(batch,
            queries)` and `(batch, length)`: a query sees the keys of its own number alone.

    Returns:
        Shape and dtype of `query`.
    """
    seed = int(torch.randint(2**62, ()).item())
    bias = None
    if real is not None and not bool(real.all()):
        bias = torch.zeros(real.shape, dtype=query.dtype).masked_fill_(~real, -1e30)
    return _BlockwiseAttention.apply(query, key, value, bias, cell_numbers, dropout, seed)


class _BlockwiseAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, bias, cell_numbers, dropout, seed):
        # Keys the other way round, and the bias as one more row of them: these products are faster.
        asked = query * query.shape[-1] ** -0.5
        seen = key.transpose(-2, -1)
        if bias is not None:
            asked = torch.cat([asked, torch.ones_like(asked[..., :1])], -1)
            seen = torch.cat([seen, bias[:, None, None].expand_as(seen[:, :, :1])], -2)
        shape = query.shape
        asked, seen, value = (_by_head(tensor) for tensor in (asked, seen, value))
        out = torch.empty_like(asked[..., : shape[-1]])
        generator = torch.Generator().manual_seed(seed)
        for rows in _blocks(asked, seen):
            weights = _weights(asked[:, rows], seen, rows, cell_numbers)
            weights.view(-1)[_hits(weights.numel(), dropout, generator)] = 0.0
            out[:, rows] = weights.to(value.dtype) @ value
        out = out.div_(1 - dropout).view(shape)
        ctx.save_for_backward(asked, seen, value, out)
        ctx.cell_numbers, ctx.dropout, ctx.seed = cell_numbers, dropout, seed
        return out

    @staticmethod
    def backward(ctx, grad):
        asked, seen, value, out = ctx.saved_tensors
        width = out.shape[-1]
        inner = (grad.float() * out.float()).sum(-1).flatten(0, 1)[..., None]
        # Kept weights were scaled up by this, and so are their gradients.
        grad = _by_head(grad / (1 - ctx.dropout))
        key = seen[:, :width].mT.contiguous()
        across = value.mT.contiguous()
        generator = torch.Generator().manual_seed(ctx.seed)
        grad_query, grad_key, grad_value = (
            torch.zeros_like(tensor) for tensor in (grad, across, across)
        )
        for rows in _blocks(asked, seen):
            weights = _weights(asked[:, rows], seen, rows, ctx.cell_numbers)
            hits = _hits(weights.numel(), ctx.dropout, generator)
            # d(scores) = weights * (kept * (grad . value) - grad . out)
            through = (grad[:, rows] @ across).float()
            through.view(-1)[hits] = 0.0
            through = through.sub_(inner[:, rows]).mul_(weights).to(value.dtype)
            weights.view(-1)[hits] = 0.0
            grad_query[:, rows] = through @ key
            grad_key.baddbmm_(asked[:, rows, :width].mT, through)
            grad_value.baddbmm_(grad[:, rows].mT, weights.to(value.dtype))
        heads = out.shape[:2]
        return (
            grad_query.mul_(width**-0.5).unflatten(0, heads),
            grad_key.mT.unflatten(0, heads),
            grad_value.mT.unflatten(0, heads),
            *(None,) * 4,
        )


def _by_head(tensor):
    """Cells and heads in one dimension, laid out in their order."""
    return tensor.contiguous().flatten(0, 1)


def _blocks(asked, seen):
    """Slices of the queries whose weights fill a block."""
    step = max(16, BLOCK_BYTES // (4 * seen.shape[0] * seen.shape[2]))
    return [slice(start, start + step) for start in range(0, asked.shape[1], step)]


def _weights(asked, seen, rows, cell_numbers):
    """Softmax of the scores of a block of queries, in float32, over the keys that it may see."""
    scores = (asked @ seen).float()
    if cell_numbers is not None:
        of_query, of_key = cell_numbers
        unseen = of_query[:, None, rows, None] != of_key[:, None, None, :]
        scores.unflatten(0, (len(of_key), -1)).masked_fill_(unseen, -1e30)
    return scores.softmax(-1)


def _hits(number, rate, generator):
    """Which of `number` weights are dropped, each with probability `rate`, some more than once.

    Hits fall on the weights as a Poisson process whose mean makes a weight escape with probability
    1 - rate: each weight is dropped independently, at a cost that falls with the rate.
    """
    mean = torch.tensor(float(number) * -math.log1p(-rate), dtype=torch.float64)
    hits = int(torch.poisson(mean, generator=generator).item())
    return torch.randint(number, (hits,), generator=generator)
