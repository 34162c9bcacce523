"""Headers that lie are refused before anything of their sizes is allocated."""

import json
import re
import struct
import tracemalloc

import numpy as np
import pytest

from keras_geneformer.conversion.safetensors_reading import SafetensorsFile

HALVES = {
    "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "b": {"dtype": "F32", "shape": [1, 2], "data_offsets": [8, 16]},
}


@pytest.fixture
def written(tmp_path):
    def write(header, data=bytes(16), length=None):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        path = tmp_path / "model.safetensors"
        size = len(text) if length is None else length
        path.write_bytes(struct.pack("<Q", size) + text + data)
        return path

    return write


def test_the_librarys_own_file(tmp_path):
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    tensors = {
        "x": rng.normal(size=(3, 5)).astype("float32"),
        "y": np.arange(4),
        "scalar": np.array(2.5, "float16"),
        "empty": np.zeros((0, 3), "float32"),
    }
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    file = SafetensorsFile(tmp_path / "x.safetensors")
    assert file.kinds.keys() == tensors.keys()
    for key, value in tensors.items():
        received = file.read(key)
        assert received.shape == value.shape == file.kinds[key].shape
        assert received.dtype == ("float32" if key == "scalar" else value.dtype)
        np.testing.assert_array_equal(received, value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"b": {"data_offsets": [8, 24], "shape": [4]}}, "its tensors end at byte {+8} of {size}"),
        ({"b": {"data_offsets": [4, 12]}}, "b starts at byte 4, and 8 is next"),
        ({"b": {"data_offsets": [0, 8]}}, "b starts at byte 0, and 8 is next"),
        ({"a": {"shape": [10**9, 10**9]}}, "a has 8 bytes, and its shape (1000000000, 1000000000)"),
        ({"a": {"shape": [-2]}}, "a has a shape or offsets that are no whole numbers"),
        ({"a": {"shape": [2.0]}}, "a has a shape or offsets that are no whole numbers"),
        ({"a": {"data_offsets": [0]}}, "a lacks dtype, shape or offsets"),
        ({"a": {"shape": 3}}, "a lacks dtype, shape or offsets"),
    ],
)
def test_tensors_that_do_not_fit_the_file(written, changes, reason):
    path = written({key: entry | changes.get(key, {}) for key, entry in HALVES.items()})
    size = path.stat().st_size
    reason = reason.replace("{+8}", str(size + 8)).replace("{size}", str(size))
    message = rf"^{re.escape(f'{path} cannot be read as safetensors ({reason}')}.*\. It may be tru"
    with pytest.raises(ValueError, match=message):
        SafetensorsFile(path)


@pytest.mark.parametrize(
    ("header", "length", "reason"),
    [
        (HALVES, 10**15, "a header of 1000000000000000 bytes in a file of"),
        (HALVES, 0, "a header of 0 bytes"),
        (b"[" * 100_000, None, "its header is no JSON"),
        (b"{'a': 1}", None, "its header is no JSON"),
        (b'{"a": {}, "a": {}}', None, "its header is no JSON: a name stands twice"),
        ([1], None, "its header is a list"),
    ],
)
def test_headers_that_are_none(written, header, length, reason):
    path = written(header, length=length)
    tracemalloc.start()
    with pytest.raises(ValueError, match=re.escape(f"cannot be read as safetensors ({reason}")):
        SafetensorsFile(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_other_numbers_are_named(written):
    entry = {"dtype": "F8_E4M3", "shape": [16], "data_offsets": [0, 16]}
    path = written({"a": entry})
    with pytest.raises(ValueError, match=r": a has dtype F8_E4M3; expected one of BOOL, U8, .*F64"):
        SafetensorsFile(path)
