"""Inflates compressed HDF5 arrays with `isal`: nearly twice as fast as HDF5 does it itself."""

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib

_PIPELINES = (
    [h5py.h5z.FILTER_DEFLATE],
    [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE],
)


def inflated_spans(array: Any) -> Callable[[int, int], np.ndarray] | None:
    """How to read spans of an array faster than by slicing it; None where there is no such way.

    Args:
        array: a 1-D HDF5 or zarr array.
    """
    if not isinstance(array, h5py.Dataset) or array.dtype.kind not in "iuf":
        return None
    properties = array.id.get_create_plist()
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    return _InflatedSpans(array, len(filters) == 2).read if filters in _PIPELINES else None


class _InflatedSpans:
    def __init__(self, array: h5py.Dataset, shuffled: bool) -> None:
        self._array, self._shuffled = array, shuffled
        self._chunk = array.chunks[0]
        # The next span begins where the last one ended.
        self._kept: tuple[int, np.ndarray] | None = None

    def read(self, start: int, stop: int) -> np.ndarray:
        found = np.empty(stop - start, self._array.dtype)
        for number in range(start // self._chunk, -(-stop // self._chunk)):
            first = number * self._chunk
            low, high = max(start - first, 0), min(stop - first, self._chunk)
            found[first + low - start : first + high - start] = self._values(number)[low:high]
        return found

    def _values(self, number: int) -> np.ndarray:
        if self._kept is None or self._kept[0] != number:
            self._kept = (number, self._inflated(number))
        return self._kept[1]

    def _inflated(self, number: int) -> np.ndarray:
        first, kind = number * self._chunk, self._array.dtype
        size = self._chunk * kind.itemsize
        try:
            skipped_filters, stored = self._array.id.read_direct_chunk((first,))
            content = b"" if skipped_filters else isal_zlib.decompress(stored, bufsize=size)
        # What isal and HDF5 raise for a damaged or a missing chunk has no common type.
        except Exception:
            content = b""
        if len(content) != size:
            # Stored in another way, or damaged: HDF5 reads it, or says what is wrong.
            return self._array[first : first + self._chunk]
        if self._shuffled:
            content = np.frombuffer(content, np.uint8).reshape(kind.itemsize, -1).T.tobytes()
        return np.frombuffer(content, kind)
