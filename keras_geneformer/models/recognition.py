"""What is known beforehand of a published checkpoint, held against the model that was loaded."""

_ALIKE = {"activation": "relu", "layer_norm_epsilon": 1e-12}
"""What all published checkpoints have, and their weights do not show."""


def recognise(backbone, published):
    """Check a backbone's shape, and let it know its vocabulary.

    The weights are known by their sha256; what config.json makes of them, such as the number of
    heads, is not, and would change every number without a word.

    Args:
        backbone: as it was loaded.
        published: the `PublishedPreset` that it was loaded from.

    Raises:
        ValueError: a size is another, or the activation, or what is added to variances.
    """
    for name, expected in (published.shape | _ALIKE).items():
        found = getattr(backbone, name)
        if found != expected:
            raise ValueError(
                f"The config.json of {published.name} came with {name}={found}; expected "
                f"{expected}. Delete it from the hub's cache and download it again, and do not "
                "trust a mirror that gives it so."
            )
    backbone.vocabulary_checksum = published.vocabulary_checksum
