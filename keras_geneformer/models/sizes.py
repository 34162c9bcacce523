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
    "v1_12l_30m": {
        **V1,
        "num_layers": 12,
        "num_heads": 8,
        "hidden_dim": 512,
        "intermediate_dim": 1024,
    },
    "v2_12l_95m": {
        **V2,
        "dropout": 0.02,
        "num_layers": 12,
        "num_heads": 8,
        "hidden_dim": 512,
        "intermediate_dim": 1024,
    },
    "v2_20l_95m": {
        **V2,
        "dropout": 0.02,
        "num_layers": 20,
        "num_heads": 14,
        "hidden_dim": 896,
        "intermediate_dim": 1792,
    },
}
"""Constructor arguments of `GeneformerBackbone`, by the name of the size.

The last three are retired: gf-12L-30M-i2048, gf-12L-95M-i4096 and gf-20L-95M-i4096, named after
layers and cells (millions) where the others have parameters."""


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


def v1_12l_30m(**changes):
    """The retired 12L-30M: 12 layers, 512 dim, 8 heads, 2048 tokens; 39,591,250 with its head."""
    return sized_backbone("v1_12l_30m", **changes)


def v2_12l_95m(**changes):
    """The retired 12L-95M: 12 layers, 512 dim, 8 heads, 4096 tokens; 37,997,363 with its head."""
    return sized_backbone("v2_12l_95m", **changes)


def v2_20l_95m(**changes):
    """The retired 20L-95M: 20 layers, 896 dim, 14 heads, 4096 tokens; 151,313,459 with its head."""
    return sized_backbone("v2_20l_95m", **changes)


def sized_backbone(size, **changes):
    """A `GeneformerBackbone` of a named size, with random weights.

    Raises:
        ValueError: there is no such size.
    """
    if size not in SIZES:
        raise ValueError(f"Received size={size!r}; expected one of {', '.join(SIZES)}.")
    return GeneformerBackbone(**{**SIZES[size], **changes})
