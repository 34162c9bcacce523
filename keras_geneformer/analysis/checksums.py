"""Whether two runs speak of the same model and the same cells."""

import hashlib
from typing import Any

import numpy as np


def model_checksum(model: Any) -> str:
    """The sha256 (hex, 16 digits) over a model's weights, in their order, as float32.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> len(model_checksum(tiny_backbone(num_layers=1)))
        16
    """
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(str(weights.shape).encode())
        digest.update(np.ascontiguousarray(weights, dtype=np.float32).tobytes())
    return digest.hexdigest()[:16]


def cells_checksum(cells: Any) -> str:
    """The sha256 (hex, 16 digits) over a `CellDataset`'s tokens, lengths and names.

    Tokens are read piece by piece.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset
        >>> cells = synthetic_dataset(3)
        >>> cells_checksum(cells) == cells_checksum(cells.subset([0, 2, 1]))
        False
    """
    digest = hashlib.sha256()
    for tokens, _ in cells.token_lists.pieces():
        digest.update(np.ascontiguousarray(tokens, dtype=np.int32).tobytes())
    digest.update(np.ascontiguousarray(cells.lengths, dtype=np.int64).tobytes())
    for name in cells.obs.index:
        digest.update(f"{name}\n".encode())
    return digest.hexdigest()[:16]
