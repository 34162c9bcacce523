"""The cross-entropy of `chunked_cross_entropy` under PyTorch, in one buffer of scores."""

import torch

from keras_geneformer.layers.chunked_cross_entropy import TOP

BLOCK_BYTES = 2 * 2**20
"""Size of the block of scores gone through at a time: small enough for the processor's cache."""


def token_losses(states, table, bias, labels, weights, chunk, gradient):
    """See `chunked_cross_entropy.token_losses`."""
    gradient = gradient and torch.is_grad_enabled()
    return _TokenLosses.apply(states, table, bias, labels, weights, chunk, gradient)


class _TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, states, table, bias, labels, weights, chunk, gradient):
        table_dtype, bias_dtype = table.dtype, bias.dtype
        table, bias, labels = table.to(states.dtype), bias.float(), labels.long()[:, None]
        exact = states.dtype == torch.float32
        sums = torch.zeros(3, dtype=torch.float32, device=states.device)
        if gradient:
            to_states = torch.empty_like(states)
            to_table = torch.zeros_like(table, dtype=torch.float32)
            to_bias = torch.zeros_like(bias)
        step = max(1, min(chunk or len(states), len(states)))
        buffer = torch.empty((step, len(table)), dtype=torch.float32, device=states.device)
        for start in range(0, len(states), step):
            rows = slice(start, start + step)
            x = states[rows]
            scores = buffer[: len(x)]
            if exact:
                torch.addmm(bias, x, table.T, out=scores)
            else:
                torch.add(x @ table.T, bias, out=scores)
            _to_gradients(scores, labels[rows], weights[rows, None], sums, gradient)
            if gradient:
                to_bias += scores.sum(0)
                if exact:
                    torch.mm(scores, table, out=to_states[rows])
                    to_table.addmm_(scores.T, x)
                else:
                    half = scores.to(x.dtype)
                    to_states[rows] = half @ table
                    to_table += half.T @ x
        if gradient:
            ctx.save_for_backward(to_states, to_table.to(table_dtype), to_bias.to(bias_dtype))
        loss, right, top5 = (part.clone() for part in sums)
        ctx.mark_non_differentiable(right, top5)
        return loss, right, top5

    @staticmethod
    def backward(ctx, upstream, _right, _top5):
        to_states, to_table, to_bias = (
            tensor * upstream.to(tensor.dtype) for tensor in ctx.saved_tensors
        )
        return to_states, to_table, to_bias, None, None, None, None


def _to_gradients(scores, labels, weights, sums, gradient):
    """Add to the sums, and turn scores into the loss's gradients to them, in place."""
    block = len(scores)
    if scores.device.type == "cpu":
        block = max(1, BLOCK_BYTES // (4 * scores.shape[1]))
    for part, label, weight in zip(scores.split(block), labels.split(block), weights.split(block)):
        true = part.gather(1, label)
        higher = (part > true).sum(1, keepdim=True)
        highest = part.amax(1, keepdim=True)
        total = part.sub_(highest).exp_().sum(1, keepdim=True)
        counts = total.log() + highest - true, true >= highest, (higher < TOP) & true.isfinite()
        sums += torch.cat(counts, 1).mul_(weight).sum(0)
        if gradient:
            part.mul_(weight / total)
            part.scatter_add_(1, label, -weight)
