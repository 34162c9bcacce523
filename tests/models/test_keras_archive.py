"""Files of Keras (`model.save("x.keras")`) as presets, and what such a file may not hold."""

import json
import re
import stat
import zipfile

import numpy as np
import pytest

from keras_geneformer.models.keras_archive import unpacked_archive
from keras_geneformer.models.preset_source import preset_directory
from keras_geneformer.shipped_presets import local_directory

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")


def config_of(name="GeneformerMaskedLM", registered=None):
    description = json.loads((local_directory("geneformer_mini") / "preset.json").read_text())
    return {
        "module": "keras_geneformer.models.masked_lm",
        "class_name": name,
        "config": description["config"],
        "registered_name": registered or f"keras_geneformer>{name}",
    }


def write(path, config=None, compression=zipfile.ZIP_STORED, **more):
    """An archive of the preset that comes with the package, and of more members by name."""
    weights = (local_directory("geneformer_mini") / "model.weights.h5").read_bytes()
    held = {
        "metadata.json": b"{}",
        "config.json": json.dumps(config or config_of()).encode(),
        "model.weights.h5": weights,
    } | more
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in held.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def refused(message, path):
    with pytest.raises(ValueError, match=message) as caught:
        unpacked_archive(path)
    assert str(caught.value).startswith(str(path)) or str(path) in str(caught.value)


@pytest.mark.tensors
def test_every_class_is_saved_by_keras_and_read_back(tmp_path):
    import keras

    import keras_geneformer as kg
    from keras_geneformer.testing import tiny_backbone, tiny_vocabulary

    checksum = tiny_vocabulary().checksum
    backbone = tiny_backbone(num_layers=1, vocabulary_checksum=checksum)
    models = (
        backbone,
        kg.GeneformerMaskedLM(backbone),
        kg.GeneformerCellClassifier(backbone, classes=["B", "T"], head_layers=1),
        kg.GeneformerGeneClassifier(backbone, num_classes=2),
        kg.GeneformerMultiTaskClassifier(backbone, tasks={"b": ["x", "y"], "a": ["z", "w"]}),
    )
    models[1].compile(optimizer="adam", loss="mse")  # neither comes back, and neither is needed
    models[1].optimizer.build(models[1].trainable_variables)
    for model in models:
        path = tmp_path / f"{type(model).__name__}.keras"
        model.save(path)
        loaded = [type(model).from_preset(path)]
        if model in models[1:3]:
            loaded.append(keras.saving.load_model(path, compile=False))
        for back in loaded:
            assert type(back) is type(model)
            assert back.get_config() == model.get_config()
            assert back.vocabulary_checksum == checksum
            for one, other in zip(model.get_weights(), back.get_weights(), strict=True):
                np.testing.assert_array_equal(one, other)


def test_an_archive_is_a_preset_of_its_own(tmp_path):
    path = write(tmp_path / "mini.keras")
    directory = preset_directory(path)
    assert sorted(file.name for file in directory.iterdir()) == ["model.weights.h5", "preset.json"]
    shipped = local_directory("geneformer_mini")
    description = json.loads((directory / "preset.json").read_text())
    expected = json.loads((shipped / "preset.json").read_text())
    for entry in ("format", "model", "config", "vocabulary_checksum", "weights_sha256"):
        assert description[entry] == expected[entry]
    assert description["vocabulary"] is False
    weights = (directory / "model.weights.h5").read_bytes()
    assert weights == (shipped / "model.weights.h5").read_bytes()
    # Unpacked once, and anew when the file is another.
    assert preset_directory(str(path)) == directory
    path.unlink()
    write(path, compression=zipfile.ZIP_DEFLATED)
    assert preset_directory(path) != directory


@pytest.mark.parametrize(
    "name",
    [
        "../evil.py",
        "/evil.py",
        "..\\evil.py",
        "C:\\evil.py",
        "assets/evil.pkl",
        "evil.py",
        "a/",
    ],
)
def test_other_members_are_refused(tmp_path, name):
    path = write(tmp_path / "x.keras", **{name: b"x"})
    held = ", ".join(map(repr, sorted([*MEMBERS, name])))
    message = (
        f"{path} holds {held}; expected config.json, metadata.json, model.weights.h5, as a model "
        "of keras_geneformer writes, once each. Nothing was unpacked."
    )
    refused(f"^{re.escape(message)}$", path)
    assert [file.name for file in tmp_path.iterdir()] == ["x.keras"]


def test_members_that_are_missing_double_or_links(tmp_path):
    refused("once each", write(tmp_path / "a.keras", **{"model.weights.h5": None}))
    path = write(tmp_path / "b.keras")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("config.json", "{}")
    refused("once each", path)
    path = write(tmp_path / "c.keras", **{"metadata.json": None})
    link = zipfile.ZipInfo("metadata.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    refused(r"holds metadata\.json as a link, encrypted or compressed in another way than ", path)


def test_what_would_unpack_to_far_more_than_it_holds(tmp_path):
    for name, content in (("model.weights.h5", b"\0" * 2**24), ("config.json", b" " * 2**23)):
        path = write(tmp_path / f"{name}.keras", None, zipfile.ZIP_DEFLATED, **{name: content})
        refused(
            rf"holds {re.escape(name)} of {len(content):,} bytes in [\d,]+; expected at most [\d,]+"
            r"\. Nothing was unpacked: it is made to fill the disk\.$",
            path,
        )


def test_a_member_that_is_larger_than_it_says_is_not_read(tmp_path):
    path = write(tmp_path / "x.keras", None, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("model.weights.h5").file_size
    # The same size stands in the member's own header and in the archive's directory.
    lie = (size // 2).to_bytes(4, "little")
    path.write_bytes(bytes(data).replace(size.to_bytes(4, "little"), lie))
    refused(r"cannot be read as a file of Keras \(Bad CRC-32", path)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (config_of("Functional", "Functional"), "'Functional'"),
        (config_of("GeneformerMaskedLM", "builtins>GeneformerMaskedLM"), "'GeneformerMaskedLM'"),
        ({"class_name": "function", "module": "builtins"}, "'function'"),
        ([1], "None"),
    ],
)
def test_other_models_are_not_built(tmp_path, config, found):
    path = write(tmp_path / "x.keras", config)
    refused(
        rf"{path} holds a {found}; expected a model of keras_geneformer: one of GeneformerBackbone,"
        r" .*\. Read other models with keras\.saving\.load_model, if you trust where",
        path,
    )


def test_a_lambda_in_the_configuration_is_not_built(tmp_path):
    from keras_geneformer import GeneformerMaskedLM

    config = config_of()
    activation = {"class_name": "__lambda__", "config": {"value": "import os"}}
    config["config"]["backbone"]["config"]["activation"] = activation
    path = write(tmp_path / "x.keras", config)
    with pytest.raises(ValueError, match=r"has activation=\{'class_name': '__lambda__'"):
        GeneformerMaskedLM.from_preset(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"not an archive"])
def test_files_that_are_no_archive(tmp_path, content):
    path = tmp_path / "x.keras"
    path.write_bytes(content)
    refused(r"cannot be read as a file of Keras \(.*\)\. It is truncated, or no such file", path)


def test_a_configuration_that_is_none(tmp_path):
    path = write(tmp_path / "x.keras", **{"config.json": b"{"})
    refused(r"^config\.json of .* is not valid JSON", path)
    path = write(tmp_path / "y.keras", config_of() | {"config": {}})
    refused(r"describes no backbone", path)


def test_a_member_that_is_damaged(tmp_path):
    path = write(tmp_path / "x.keras", compression=zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("model.weights.h5").header_offset + 1000
    content[start : start + 500] = b"\xff" * 500
    path.write_bytes(content)
    refused(r"cannot be read as a file of Keras \(.*\)\. It is truncated, or no such file", path)


def test_compressed_in_another_way(tmp_path):
    path = write(tmp_path / "x.keras", compression=zipfile.ZIP_BZIP2)
    refused(r"as a link, encrypted or compressed in another way than Keras does", path)
