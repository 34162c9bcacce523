"""Refuses a file of weights that would lead out of itself, or take memory that it does not fill."""

import os
from pathlib import Path
from typing import Any

LEAST_BYTES = 1.9
"""Bytes a weight: Keras writes 4, or 2 where the whole model computes in 16 bits."""
LEAST_QUANTIZED_BYTES = 0.45
"""Bytes a weight of a quantized model: half a byte in int4."""

DEEPEST = 100
"""Groups within groups; Keras has a few for each layer within a layer."""


def check_weights(path: str | os.PathLike[str], weights: int, quantized: bool = False) -> None:
    """Raise where an HDF5 file of weights is not a plain one of that many weights.

    Nothing of the weights is read. A file that Keras writes keeps every array whole, in one piece
    and uncompressed, so what it declares, it holds; anything else could make a small file fill
    the memory, or take what is read from another file.

    Args:
        path: model.weights.h5.
        weights: how many the configuration implies (`parameter_count`).
        quantized: whether they may be packed into fewer bytes.

    Raises:
        ValueError: the file is no HDF5; holds links, one thing in two places, arrays kept
            elsewhere, compressed or in pieces, or of other than numbers; declares more than it
            holds; or has too few bytes for the weights.
    """
    import h5py

    path = Path(path)
    size = path.stat().st_size
    try:
        with h5py.File(path, "r") as file:
            declared = _declared_bytes(file, path, set())
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read as HDF5 ({error}). It is truncated or no file of weights: "
            "copy or download it again."
        ) from error
    if declared > size:
        raise ValueError(
            f"{path} declares arrays of {declared:,} bytes and has {size:,}. It is truncated, or "
            "made to fill the memory: do not trust where it came from."
        )
    least = LEAST_QUANTIZED_BYTES if quantized else LEAST_BYTES
    if declared < least * weights:
        raise ValueError(
            f"{path} holds {declared:,} bytes of weights; the configuration beside it describes a "
            f"model of {weights:,} weights, which take at least {int(least * weights):,}. The two "
            "are not of one preset: copy or download it again."
        )


def _declared_bytes(group: Any, path: Path, seen: set[int]) -> int:
    """The bytes of all arrays below a group; refuses whatever Keras does not write.

    Groups are gone through by hand, since h5py's own walk passes over links in silence. What stands
    in two places is refused: a group within itself has no end, and forty groups that each hold the
    next twice have a million million places.

    Args:
        seen: addresses in the file of what was met.
    """
    import h5py

    total = 0
    if group.name.count("/") > DEEPEST:
        _refuse(path, group, "", f"groups more than {DEEPEST} deep")
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            _refuse(path, group, name, f"a link ({type(link).__name__})")
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            _refuse(path, group, name, "what stands elsewhere in it too")
        seen.add(address)
        if isinstance(item, h5py.Group):
            total += _declared_bytes(item, path, seen)
        elif isinstance(item, h5py.Dataset):
            total += _array_bytes(item, path, group, name)
        else:
            _refuse(path, group, name, f"a {type(item).__name__}")
    return total


def _array_bytes(item: Any, path: Path, group: Any, name: str) -> int:
    if item.external or item.is_virtual:
        _refuse(path, group, name, "an array that is kept in another file")
    if item.chunks is not None:
        _refuse(path, group, name, "an array in pieces, as compressed ones are")
    if item.dtype.kind not in "fiubV" or item.dtype.hasobject:
        _refuse(path, group, name, f"an array of {item.dtype}, which are no numbers")
    return int(item.nbytes)


def _refuse(path: Path, group: Any, name: str, found: str) -> None:
    raise ValueError(
        f"{path} holds {found} ({group.name.rstrip('/')}/{name}); expected what Keras writes: "
        "whole, uncompressed arrays. Do not trust where it came from."
    )
