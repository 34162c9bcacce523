"""Checkpoints in shards; the names of the shards come from the internet."""

import json
import re

import numpy as np
import pytest

from keras_geneformer.conversion.checkpoint_files import canonical_keys, read_checkpoint

VALUES = {f"layer.{index}": np.full((2, index + 1), index, "float32") for index in range(4)}
PLACES = {key: f"model-0000{1 + index // 2}-of-00002" for index, key in enumerate(VALUES)}


def save(path, tensors):
    if path.suffix == ".bin":
        torch = pytest.importorskip("torch")
        torch.save({key: torch.from_numpy(value) for key, value in tensors.items()}, path)
    else:
        from safetensors.numpy import save_file

        save_file(tensors, path)


@pytest.fixture(params=["model.safetensors", "pytorch_model.bin"])
def sharded(request, tmp_path):
    """A directory, its index, and a way to write the index anew."""
    directory = tmp_path / "checkpoint"
    directory.mkdir()
    suffix = "." + request.param.split(".")[1]
    index = directory / f"{request.param}.index.json"
    places = {key: place + suffix for key, place in PLACES.items()}
    for name in set(places.values()):
        save(directory / name, {key: VALUES[key] for key in VALUES if places[key] == name})

    def write(**changes):
        index.write_text(json.dumps({"metadata": {}, "weight_map": places | changes}))

    write()
    return directory, index, write


def test_shards_are_read_as_one(sharded):
    directory, _, _ = sharded
    tensors = read_checkpoint(directory)
    assert tensors.shapes == {key: value.shape for key, value in VALUES.items()}
    assert len(tensors.files) == 2
    for key, value in VALUES.items():
        np.testing.assert_array_equal(tensors[key], value)


@pytest.mark.parametrize(
    "name", ["../secret.bin", "/etc/passwd", "..", "", "a/b", "a\\b", "C:x", "link", "x\0y"]
)
def test_no_file_elsewhere_is_read(sharded, name):
    directory, index, write = sharded
    (directory.parent / "secret.bin").write_bytes(b"secret")
    (directory / "link").symlink_to("../secret.bin")
    write(**{"layer.0": name})
    message = (
        f"{index} names the shard {name!r}; expected the plain name of a file beside it. No file "
        "elsewhere is read: download the checkpoint from where you trust it."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_checkpoint(directory)


def test_the_links_of_the_hubs_cache_are_followed(sharded, tmp_path):
    directory, _, _ = sharded
    snapshot = tmp_path / "models--org--name" / "snapshots" / "0123" / "folder"
    blobs = tmp_path / "models--org--name" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, path in enumerate(directory.iterdir()):
        path.rename(blobs / str(number))
        (snapshot / path.name).symlink_to(f"../../../blobs/{number}")
    np.testing.assert_array_equal(read_checkpoint(snapshot)["layer.3"], VALUES["layer.3"])


def test_shards_that_are_not_those_of_the_index(sharded):
    directory, index, write = sharded
    write(**{"layer.9": PLACES["layer.3"] + index.suffixes[0]})
    with pytest.raises(ValueError, match=r"holds other tensors than .*index\.json says: layer\.9"):
        read_checkpoint(directory)
    write(**{"layer.3": "gone" + index.suffixes[0]})
    with pytest.raises((FileNotFoundError, ValueError), match=r"is missing; |holds other tensors"):
        read_checkpoint(directory)
    for content in ("{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"x": 1}}'):
        index.write_text(content)
        with pytest.raises(ValueError, match=r"is no index of shards.*Download it again\.$"):
            read_checkpoint(directory)


def test_keys_of_parallel_training_and_of_a_bare_bert():
    given = ["module.encoder.layer.0.output.dense.bias", "module.classifier.bias"]
    assert canonical_keys(given) == {
        "bert.encoder.layer.0.output.dense.bias": given[0],
        "classifier.bias": given[1],
    }
    mixed = ["bert.pooler.dense.bias", "module.x"]
    assert canonical_keys(mixed) == {key: key for key in mixed}


def test_torch_files_that_claim_more_than_they_hold(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "pytorch_model.bin"
    torch.save({"x": torch.ones(1).expand(10**6, 10**6)}, path)
    with pytest.raises(
        ValueError, match=r"bytes and claims tensors of 4000000000000\. It is damag"
    ):
        read_checkpoint(tmp_path)
    torch.save({"x": torch.eye(2).to_sparse()}, path)
    with pytest.raises(
        ValueError, match=r"x is a tensor of dtype float32 and layout sparse_coo on"
    ):
        read_checkpoint(tmp_path)
    torch.save({"x": torch.ones(2, device="meta")}, path)
    with pytest.raises(ValueError, match=r"on meta; expected dense numbers\. Save the checkpoint"):
        read_checkpoint(tmp_path)
    torch.save({"x": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    np.testing.assert_array_equal(read_checkpoint(tmp_path)["x"], [1, 1])


def test_compressed_torch_files_are_refused(tmp_path):
    import zipfile

    torch = pytest.importorskip("torch")
    torch.save({"x": torch.zeros(1000)}, tmp_path / "plain")
    with (
        zipfile.ZipFile(tmp_path / "plain") as plain,
        zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for part in plain.infolist():
            packed.writestr(part.filename, plain.read(part))
    with pytest.raises(ValueError, match=r"\(it is compressed, as torch\.save writes none\)"):
        read_checkpoint(tmp_path)
