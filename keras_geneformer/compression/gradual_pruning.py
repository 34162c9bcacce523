"""Magnitude pruning with a schedule: ever more of the smallest weights are 0 while others learn."""

from typing import Any

from keras import ops

from keras_geneformer.compression.dense_layers import dense_layers
from keras_geneformer.compression.pruning import prune_smallest

RENEWALS = 20
"""How often, at most, the weights that are 0 are chosen anew while their share rises."""


def cubic_share(step: int, rise: int, share: float) -> float:
    """The share of weights that are 0 after a step: it rises fast at first, and slowly at the end.

    Args:
        step: steps done.
        rise: steps after which the whole share is reached.
        share: that share.

    Example:
        >>> [round(cubic_share(step, 10, 0.8), 3) for step in (0, 5, 10, 20)]
        [0.0, 0.7, 0.8, 0.8]

    Source: Zhu and Gupta, "To prune, or not to prune" (2017), equation 1, from a share of 0.
    """
    return share * (1.0 - max(1.0 - step / rise, 0.0) ** 3)


class GradualPruning:
    """Weights that become 0 step by step in training, and stay so.

    Args:
        model: a built Keras layer or model; its Dense kernels are pruned, each by the same share.
        share: of the weights that are 0 in the end.
        rise: steps after which they are.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> pruning = GradualPruning(tiny_backbone(num_layers=1), 0.5, rise=2)
        >>> pruning.after(1), pruning.finished
        (0.4375, False)
    """

    def __init__(self, model: Any, share: float, rise: int) -> None:
        self._model = model
        self._share = share
        self._rise = rise
        self._every = max(1, rise // RENEWALS)
        self._kept: dict[str, Any] = {}
        self.finished = False

    def after(self, step: int) -> float:
        """Prune after a training step.

        Args:
            step: steps done, from 1.

        Returns:
            The share that is 0.
        """
        share = cubic_share(step, self._rise, self._share)
        if not self.finished and (step % self._every == 0 or step >= self._rise):
            kept = prune_smallest(self._model, share)
            self._kept = {path: ops.convert_to_tensor(one) for path, one in kept.items()}
            self.finished = step >= self._rise
        else:
            self._hold()
        return share

    def _hold(self) -> None:
        """The optimizer moved what is 0, by its momentum: back."""
        if not self._kept:
            return
        for path, layer in dense_layers(self._model).items():
            kernel = ops.convert_to_tensor(layer.kernel)
            layer.kernel.assign(ops.where(self._kept[path], kernel, ops.zeros_like(kernel)))
