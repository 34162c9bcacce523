"""The published sizes, by name."""

from keras_geneformer.models.backbone import GeneformerBackbone

V1 = {
    "vocabulary_size": 25_426,
    "max_sequence_length": 2048,
    "special_token_ids": (0, 1),
    "dropout": 0.02,
}
V2 = {
    "vocabulary_size": 20_275,
    "max_sequence_length": 4096,
    "special_token_ids": (0, 1, 2, 3),
    "dropout": 0.1,
}

SIZES = {
    "v1_10m": {**V1, "num_layers": 6, "num_heads": 4, "hidden_dim": 256, "intermediate_dim": 512},
    "v2_104m": {
        **V2,
        "num_layers": 12,
        "num_heads": 12,
        "hidden_dim": 768,
        "intermediate_dim": 3072,
    },
    "v2_316m": {
        **V2,
        "num_layers": 18,
        "num_heads": 18,
        "hidden_dim": 1152,
        "intermediate_dim": 4608,
    },
}
"""Constructor arguments of `GeneformerBackbone`, by the name of the size."""


def v1_10m(**changes):
    """The model of the paper: 6 layers, 256 dim, 4 heads, 2048 tokens; 10,288,722 with its head.

    Args:
        **changes: arguments of `GeneformerBackbone` that differ.

    Returns:
        A `GeneformerBackbone` with random weights.
    """
    return sized_backbone("v1_10m", **changes)


def v2_104m(**changes):
    """12 layers, 768 dim, 12 heads, 4096 tokens; 104,386,867 parameters with its head."""
    return sized_backbone("v2_104m", **changes)


def v2_316m(**changes):
    """18 layers, 1152 dim, 18 heads, 4096 tokens; 316,354,867 parameters with its head."""
    return sized_backbone("v2_316m", **changes)


def sized_backbone(size, **changes):
    """A `GeneformerBackbone` of a named size, with random weights.

    Raises:
        ValueError: there is no such size.
    """
    if size not in SIZES:
        raise ValueError(f"Received size={size!r}; expected one of {', '.join(SIZES)}.")
    return GeneformerBackbone(**{**SIZES[size], **changes})
