"""What a run of perturbation is of, as checksums: so that none goes on with another's results."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.compression.quantized_layers import int8_blocks


def model_checksum(model: Any) -> str:
    """sha256 over the weights of a model, in order, with their names, and its blocks in int8.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> backbone = tiny_backbone()
        >>> model_checksum(backbone) == model_checksum(backbone)
        True
    """
    digest = hashlib.sha256()
    for variable in model.weights:
        digest.update(variable.path.rpartition("/")[2].encode())
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    for block in int8_blocks(model):
        digest.update(block.int8.checksum)
    return digest.hexdigest()


def cells_checksum(cells: Any, obs_key: str | None = None) -> str:
    """sha256 over the tokens of cells, their names and, where given, a column of obs.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset
        >>> cells_checksum(synthetic_dataset(3)) == cells_checksum(synthetic_dataset(4))
        False
    """
    digest, lengths = hashlib.sha256(), hashlib.sha256()
    for token_ids, offsets in cells.token_lists.pieces():
        digest.update(np.ascontiguousarray(token_ids, dtype=np.int64).tobytes())
        lengths.update(np.ascontiguousarray(np.diff(offsets), dtype=np.int64).tobytes())
    digest.update(lengths.digest())
    texts = [cells.obs.index.to_series()]
    if obs_key is not None:
        texts.append(cells.obs[obs_key])
    for text in texts:
        hashes = pd.util.hash_pandas_object(text.astype(str), index=False)
        digest.update(hashes.to_numpy().tobytes())
    return digest.hexdigest()


def obs_checksum(obs: pd.DataFrame) -> str:
    """sha256 over a table of cells: its columns and all values, as text.

    Example:
        >>> obs = pd.DataFrame({"type": ["a", "b"]})
        >>> obs_checksum(obs) == obs_checksum(obs.assign(type="a"))
        False
    """
    digest = hashlib.sha256()
    for name in obs.columns:
        hashes = pd.util.hash_pandas_object(obs[name].astype(str), index=False)
        digest.update(str(name).encode() + b"\0" + hashes.to_numpy().tobytes())
    return digest.hexdigest()
