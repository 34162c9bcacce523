"""The Dense layers within a model, by their paths."""

from typing import Any

import keras


def dense_layers(model: Any) -> dict[str, Any]:
    """All Dense layers of a built Keras layer or model, sorted by path.

    Args:
        model: a Keras layer or model; those within layers within it count too.

    Returns:
        Path (`encoder_block_0/attention/query`) to layer. A path is that of the layer's variables
        without their own names, and is the same in a backbone and in a classifier on it.

    Raises:
        ValueError: the model is not built.

    Example:
        >>> model = keras.Sequential([keras.layers.Dense(2, name="scores")])
        >>> _ = model.build((None, 3))
        >>> list(dense_layers(model))
        ['sequential/scores']
    """
    found = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dense)]
    if not model.built or not all(layer.built for layer in found):
        raise ValueError(
            f"The {type(model).__name__} {model.name!r} has no weights yet. Build it, or call it "
            "on a batch, first."
        )
    return dict(sorted((layer.path, layer) for layer in found))
