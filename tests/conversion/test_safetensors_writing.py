import json
import re
import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from keras_geneformer.conversion.safetensors_writing import (
    file_bytes,
    tensor_of,
    write_checkpoint,
    write_safetensors,
)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(3)
    return {
        "b.weight": rng.normal(size=(3, 5)).astype("float32"),
        "a.weight": rng.normal(size=(2, 2)).astype("float16"),
        "Ü.bias": rng.normal(size=7).astype("float32"),
        "z.half": rng.normal(size=(3,)).astype(ml_dtypes.bfloat16),
        "position_ids": np.arange(6)[None],
        "scalar": np.float32(1.5).reshape(()),
        "empty": np.zeros((0, 4), "float32"),
    }


def described(arrays):
    return {key: tensor_of(array.dtype.name, array.shape) for key, array in arrays.items()}


def test_the_bytes_are_those_of_the_library(arrays, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    def tensor(array):
        if array.dtype == ml_dtypes.bfloat16:
            return torch.from_numpy(array.astype("float32")).bfloat16()
        return torch.from_numpy(np.asarray(array).copy())

    save_file(
        {key: tensor(array) for key, array in arrays.items()},
        tmp_path / "theirs",
        metadata={"format": "pt"},
    )
    read = []
    write_safetensors(
        tmp_path / "ours", described(arrays), lambda key: read.append(key) or arrays[key]
    )
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert (tmp_path / "ours").stat().st_size == file_bytes(described(arrays))
    assert sorted(read) == sorted(arrays)


def test_transposed_and_big_endian_arrays(tmp_path):
    from safetensors.numpy import load_file

    array = np.arange(6, dtype="float32").reshape(2, 3)
    tensors = {"x": tensor_of("float32", (3, 2))}
    for given in (array.T, array.T.astype(">f4")):
        write_safetensors(tmp_path / "file", tensors, lambda key, given=given: given)
        np.testing.assert_array_equal(load_file(tmp_path / "file")["x"], array.T)


@pytest.mark.parametrize("limit", [1, 30, 50, 70, 121])
def test_shards_are_those_of_the_library(arrays, tmp_path, limit):
    from huggingface_hub import split_torch_state_dict_into_shards
    from safetensors.numpy import load_file

    torch = pytest.importorskip("torch")
    del arrays["empty"], arrays["scalar"], arrays["z.half"]
    theirs = split_torch_state_dict_into_shards(
        {key: torch.from_numpy(array) for key, array in arrays.items()},
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=limit,
    )
    write_checkpoint(tmp_path, described(arrays), arrays.__getitem__, limit)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in arrays.values())
    names = {path.name for path in tmp_path.glob("*.safetensors")}
    assert names == set(theirs.filename_to_tensors) == set(index["weight_map"].values())
    assert index["weight_map"] == theirs.tensor_to_filename
    for name, keys in theirs.filename_to_tensors.items():
        stored = load_file(tmp_path / name)
        assert sorted(stored) == sorted(keys)
        for key, value in stored.items():
            np.testing.assert_array_equal(value, arrays[key])


@pytest.mark.parametrize("limit", [None, 5_000_000])
def test_one_tensor_in_memory_at_a_time(tmp_path, limit):
    megabyte = tensor_of("float32", (500, 500))
    tensors = {f"layer.{number}": megabyte for number in range(24)}
    tracemalloc.start()
    write_checkpoint(tmp_path, tensors, lambda key: np.ones((500, 500), "float32").T, limit)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The tensor, and its copy in the order of the file.
    assert peak < 2.2 * megabyte.bytes
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) > 24 * megabyte.bytes


def test_one_file_where_all_fit(arrays, tmp_path):
    write_checkpoint(tmp_path, described(arrays), arrays.__getitem__, 10**6)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_refusals(arrays, tmp_path):
    message = (
        "Received max_shard_bytes=0; expected a number of bytes above 0, or None for one file."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        write_checkpoint(tmp_path, described(arrays), arrays.__getitem__, 0)
    tensors = {"x": tensor_of("float32", (2, 3))}
    message = "x: received an array of F16 and shape (2, 3); expected F32 and (2, 3)."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        write_safetensors(tmp_path / "file", tensors, lambda key: np.zeros((2, 3), "float16"))
    message = (
        "Received weights of uint8; expected int64, float32, bfloat16, float16. Load the model "
        "with dtype='float32'."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tensor_of("uint8", (2,))
