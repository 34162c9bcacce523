import json
import pickle
import re
import struct
import zipfile

import numpy as np
import pytest

from keras_geneformer.conversion.checkpoint_files import read_checkpoint


def write_safetensors(path, dtype, shape, data):
    """One tensor, by the format's own description."""
    entry = {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}
    header = json.dumps({"x": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def test_both_files_hold_the_same(reference):
    checkpoints = reference / "checkpoints"
    one, other = (read_checkpoint(checkpoints / name) for name in ("tiny-v1", "tiny-v1-bin"))
    assert set(other) - set(one) == {
        "cls.predictions.decoder.weight",
        "cls.predictions.decoder.bias",
    }
    for key, value in one.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, other[key])


def test_bfloat16_and_float16_come_as_exact_float32(tmp_path):
    values = np.array([[1.5, -2.0, 3.140625], [0.0, -0.0, 2.0**-120]], "float32")
    path = tmp_path / "model.safetensors"
    # bfloat16 is the upper half of a float32.
    write_safetensors(path, "BF16", [2, 3], (values.view("uint32") >> 16).astype("<u2").tobytes())
    received = read_checkpoint(tmp_path)["x"]
    assert received.dtype == np.float32
    np.testing.assert_array_equal(received.view("uint32"), values.view("uint32"))
    write_safetensors(path, "F16", [3], values[0].astype("<f2").tobytes())
    received = read_checkpoint(tmp_path)["x"]
    assert received.dtype == np.float32
    np.testing.assert_array_equal(received, values[0])


def test_integers_stay_integers(tmp_path):
    write_safetensors(
        tmp_path / "model.safetensors", "I64", [3], np.arange(3, dtype="<i8").tobytes()
    )
    assert read_checkpoint(tmp_path)["x"].dtype == np.int64


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_lfs_pointers_are_named(tmp_path, name):
    path = tmp_path / name
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 41183536\n")
    message = (
        f"{path} is a Git-LFS pointer, not the file itself. Run `git lfs pull` where the "
        "repository was cloned, or download the file from the hub."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("kept", [0, 5, 400, -1])
def test_truncated_safetensors(reference, tmp_path, kept):
    whole = (reference / "checkpoints" / "tiny-v1-cell" / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:kept])
    message = r"model\.safetensors cannot be read as safetensors \(.*It may be truncated: download"
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path)


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.mkdir, (self.path,)


def write_torch(path, content):
    """A file as `torch.save` writes it: a zip whose data.pkl holds the content."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, 2))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")


def test_foreign_code_is_refused_and_not_run(tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "pytorch_model.bin"
    for write in (write_torch, lambda path, content: path.write_bytes(pickle.dumps(content))):
        write(path, {"x": Attack(str(tmp_path / "ran"))})
        message = (
            rf"^{re.escape(str(path))} cannot be read as a file of tensors alone \(.*It is "
            r"truncated, or holds Python objects, which are never executed here\.$"
        )
        with pytest.raises(ValueError, match=message):
            read_checkpoint(tmp_path)
        assert not (tmp_path / "ran").exists()


def test_truncated_torch_file(reference, tmp_path):
    pytest.importorskip("torch")
    whole = (reference / "checkpoints" / "tiny-v1-bin" / "pytorch_model.bin").read_bytes()
    (tmp_path / "pytorch_model.bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cannot be read as a file of tensors alone .* truncated"):
        read_checkpoint(tmp_path)


def test_anything_but_a_state_dict(tmp_path):
    pytest.importorskip("torch")
    for content in ([1, 2], {"x": 3}):
        write_torch(tmp_path / "pytorch_model.bin", content)
        with pytest.raises(ValueError, match="holds no state dict: expected tensors by name"):
            read_checkpoint(tmp_path)


def test_parameters_are_tensors_too(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"x": torch.nn.Parameter(torch.ones(2))}, tmp_path / "pytorch_model.bin")
    np.testing.assert_array_equal(read_checkpoint(tmp_path)["x"], [1, 1])


def test_missing_weights(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    message = (
        f"{tmp_path} holds neither model.safetensors nor pytorch_model.bin (found: config.json). "
        "Download the weights beside config.json."
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        read_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"\(found: no such directory\)"):
        read_checkpoint(tmp_path / "elsewhere")
