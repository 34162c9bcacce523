"""Discriminative learning rates: the nearer to the input, the less a layer moves."""

from typing import Any


def layer_rates(model: Any, backbone: Any, decay: float) -> dict[str, float]:
    """By what the learning rate of each weight is multiplied.

    The top encoder block of the backbone and all above it learn at the full rate, each block below
    at `decay` times the one above it, the embeddings at `decay` times the lowest block.

    Args:
        model: what is trained, on the backbone.
        backbone: its `GeneformerBackbone`.
        decay: above 0, up to 1; 1 is one rate for all. About .4 to .95 is usual.

    Returns:
        Path of a variable to factor, for `PublishedAdamW.rates`, for every variable of the
        backbone, also those that do not learn yet; the others have factor 1.

    Raises:
        ValueError: `decay` is out of range, or two variables of the model share a path.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> backbone = tiny_backbone()
        >>> rates = layer_rates(backbone, backbone, 0.5)
        >>> rates["encoder_block_1/output_projection/bias"], rates["embeddings/position_table"]
        (0.5, 0.125)

    Source: Howard and Ruder, "Universal language model fine-tuning for text classification" (2018).
    """
    if not 0 < decay <= 1:
        raise ValueError(f"Received layer_decay={decay}; expected a share above 0, up to 1.")
    paths = [variable.path for variable in model.weights]
    twice = sorted({path for path in paths if paths.count(path) > 1}) if decay < 1 else []
    if twice:
        raise ValueError(
            f"Two variables of this model are named {twice[0]}: expected names of their own, by "
            "which rates are given."
        )
    depth = backbone.num_layers
    rates = {v.path: decay**depth for v in backbone.get_layer("embeddings").weights}
    for index in range(depth):
        block = backbone.get_layer(f"encoder_block_{index}")
        rates |= {variable.path: decay ** (depth - 1 - index) for variable in block.weights}
    return rates
