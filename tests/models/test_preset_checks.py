"""What a preset may not be: refused before anything is built or allocated from it."""

import json
import re
import shutil

import h5py
import numpy as np
import pytest

from keras_geneformer.models.config_check import check_config, parameter_count
from keras_geneformer.models.weights_check import check_weights
from keras_geneformer.shipped_presets import local_directory
from keras_geneformer.testing import tiny_backbone

WEIGHTS = 1_641_514
BACKBONE = {
    **{"vocabulary_size": 30, "num_layers": 2, "num_heads": 2, "hidden_dim": 8},
    **{"intermediate_dim": 16, "max_sequence_length": 16},
}


def refused(message, call, *arguments, **options):
    with pytest.raises(ValueError, match=f"^{message}$"):
        call(*arguments, **options)


@pytest.fixture
def weights(tmp_path):
    """A copy of the weights that come with the package."""
    source = local_directory("geneformer_mini") / "model.weights.h5"
    return shutil.copy(source, tmp_path / "model.weights.h5")


def test_weights_as_keras_writes_them(weights):
    check_weights(weights, WEIGHTS)
    check_weights(weights, 8 * WEIGHTS, quantized=True)


def test_fewer_weights_than_the_configuration_says(weights):
    message = (
        rf"{weights} holds 6,566,056 bytes of weights; the configuration beside it describes a "
        r"model of 1,000,000,000 weights, which take at least {}\. The two are not of one preset: "
        r"copy or download it again\."
    )
    refused(message.format("1,900,000,000"), check_weights, weights, 10**9)
    refused(message.format("450,000,000"), check_weights, weights, 10**9, quantized=True)


def _soft_link(file, path):
    file["layers/x"] = h5py.SoftLink("/layers")


def _external_link(file, path):
    file["layers/x"] = h5py.ExternalLink(str(path.with_name("other.h5")), "/layers")


def _external_array(file, path):
    secret = path.with_name("secret")
    secret.write_bytes(b"\0" * 64)
    file.create_dataset("layers/x", (16,), "float32", external=[(str(secret), 0, 64)])


def _virtual_array(file, path):
    layout = h5py.VirtualLayout((4,), "float32")
    layout[:] = h5py.VirtualSource(str(path.with_name("other.h5")), "x", (4,))
    file.create_virtual_dataset("layers/x", layout)


def _compressed_array(file, path):
    file.create_dataset("layers/x", data=np.zeros((10, 10), "float32"), compression="gzip")


def _array_of_text(file, path):
    file.create_dataset("layers/x", data=["a", "b"], dtype=h5py.string_dtype())


def _array_of_references(file, path):
    file.create_dataset("layers/x", (2,), h5py.ref_dtype)


def _group_within_itself(file, path):
    file["layers/x"] = file["layers"]


def _type(file, path):
    file["layers/x"] = np.dtype("float32")


@pytest.mark.parametrize(
    ("add", "found"),
    [
        (_soft_link, r"a link \(SoftLink\)"),
        (_external_link, r"a link \(ExternalLink\)"),
        (_external_array, "an array that is kept in another file"),
        (_virtual_array, "an array that is kept in another file"),
        (_compressed_array, "an array in pieces, as compressed ones are"),
        (_array_of_text, "an array of object, which are no numbers"),
        (_array_of_references, "an array of object, which are no numbers"),
        (_group_within_itself, "what stands elsewhere in it too"),
        (_type, "a Datatype"),
    ],
)
def test_what_keras_does_not_write(weights, add, found):
    with h5py.File(weights, "a") as file:
        add(file, weights)
    message = (
        rf"{weights} holds {found} \(/layers/x\); expected what Keras writes: whole, uncompressed "
        r"arrays\. Do not trust where it came from\."
    )
    refused(message, check_weights, weights, WEIGHTS)


def test_groups_whose_walk_would_not_end(weights):
    with h5py.File(weights, "a") as file:
        last = file.create_group("x0")
        for number in range(1, 60):
            group = file.create_group(f"x{number}")
            group["one"] = group["other"] = last
            last = group
    refused(r".* holds what stands elsewhere in it too .*", check_weights, weights, WEIGHTS)


def test_groups_deeper_than_python_counts(weights):
    with h5py.File(weights, "a") as file:
        file.create_group("/".join(["x"] * 2000))
    refused(r".* holds groups more than 100 deep .*", check_weights, weights, WEIGHTS)


@pytest.mark.parametrize("kept", [0, 100, 3_000_000])
def test_a_truncated_file(weights, kept):
    with weights.open("r+b") as file:
        file.truncate(kept)
    refused(
        rf"{weights} cannot be read as HDF5 \(.*\)\. It is truncated or .*",
        check_weights,
        weights,
        1,
    )


def test_arrays_larger_than_their_file(tmp_path):
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        # Without a value nothing is written, whatever the array declares.
        create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        create.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
        space = h5py.h5s.create_simple((10**11,))
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_FLOAT, space, create)
    message = rf"{path} declares arrays of 400,000,000,000 bytes and has [\d,]*\. It is .*"
    refused(message, check_weights, path, 1)


@pytest.mark.parametrize(
    ("change", "found", "expected"),
    [
        ({"hidden_dim": "many"}, "hidden_dim='many'", "a whole number of at least 1"),
        ({"hidden_dim": 8.0}, "hidden_dim=8.0", "a whole number of at least 1"),
        ({"num_layers": True}, "num_layers=True", "a whole number of at least 1"),
        ({"vocabulary_size": 0}, "vocabulary_size=0", "a whole number of at least 1"),
        ({"max_sequence_length": -1}, "max_sequence_length=-1", "a whole number of at least 1"),
        ({"num_segments": []}, "num_segments=[]", "a whole number of at least 1"),
        ({"head_dim": {}}, "head_dim={}", "a whole number of at least 1"),
        ({"num_heads": [1]}, "num_heads=[1]", "a number, or 2 of them"),
        ({"intermediate_dim": [1, "2"]}, "intermediate_dim='2'", "a whole number of at least 1"),
        ({"dropout": 1.5}, "dropout=1.5", "a number from 0 to 1"),
        ({"dropout": float("nan")}, "dropout=nan", "a number from 0 to 1"),
        ({"initializer_range": "1"}, "initializer_range='1'", "a number that is not negative"),
        ({"special_token_ids": 3}, "special_token_ids=3", "a list of token ids"),
        ({"special_token_ids": ["a"]}, "special_token_ids=['a']", "a list of token ids"),
        (
            {"activation": {"class_name": "x"}},
            "activation={'class_name': 'x'}",
            "the name of an acti",
        ),
        ({"activation": "os.system"}, "activation='os.system'", "the name of an activation"),
        (
            {"dtype": {"module": "os", "class_name": "system", "config": {}}},
            "dtype={'module': 'os', 'class_name': 'system', 'config': {}}",
            "the name of a dtype, or a dtype policy of Keras",
        ),
    ],
)
def test_configurations_that_no_model_writes(change, found, expected):
    message = f"here has {re.escape(found)} in its config; expected {expected}.*"
    refused(message, check_config, "GeneformerBackbone", BACKBONE | change, "here")
    inside = {"backbone": {"config": BACKBONE | change}}
    refused(message, check_config, "GeneformerMaskedLM", inside, "here")


@pytest.mark.parametrize("name", BACKBONE)
def test_a_size_that_is_missing(name):
    config = {key: value for key, value in BACKBONE.items() if key != name}
    message = rf"here has no {name} in its config\. Copy the preset again\."
    refused(message, check_config, "GeneformerBackbone", config, "here")


@pytest.mark.parametrize("config", [None, 3, {}, {"backbone": 3}, {"backbone": {"config": []}}])
def test_a_configuration_without_a_backbone(config):
    message = r"here describes no backbone; expected its constructor's arguments under config\. .*"
    refused(message, check_config, "GeneformerMaskedLM", config, "here")


def test_sizes_of_the_head():
    config = {"backbone": {"config": BACKBONE}, "head_layers": -1}
    message = r"here has head_layers=-1 in its config; expected a whole number\..*"
    refused(message, check_config, "GeneformerCellClassifier", config, "here")
    config = {"backbone": {"config": BACKBONE}, "num_classes": "2"}
    message = r"here has num_classes='2' in its config; expected a whole number of at least 1\..*"
    refused(message, check_config, "GeneformerGeneClassifier", config, "here")


def test_weights_are_counted_without_a_model():
    from keras_geneformer import (
        GeneformerCellClassifier,
        GeneformerGeneClassifier,
        GeneformerMaskedLM,
        GeneformerMultiTaskClassifier,
    )

    tasks = {"a": ["x", "y"], "b": ["1", "2", "3"]}
    small = tiny_backbone(num_layers=1)
    pruned = tiny_backbone(num_layers=2, num_heads=[2, 1], intermediate_dim=[5, 6], head_dim=4)
    for model in (
        small,
        pruned,
        GeneformerMaskedLM(small),
        GeneformerCellClassifier(pruned, classes=["a", "b"], pooling="mean", head_layers=2),
        GeneformerGeneClassifier(small, num_classes=2),
        GeneformerMultiTaskClassifier(small, tasks),
        GeneformerMultiTaskClassifier(small, tasks, pooling="shared_attention", pooler=False),
        GeneformerMultiTaskClassifier(small, tasks, pooling="mean", head_layers=1),
    ):
        name, config = type(model).__name__, json.loads(json.dumps(model.get_config()))
        check_config(name, config, "here")
        assert parameter_count(name, config) == model.count_params()


@pytest.mark.parametrize(
    "change",
    [
        *(
            {"num_layers": 10**12},
            {"hidden_dim": 10**9, "num_heads": 1},
            {"vocabulary_size": 2**62},
        ),
        *({"max_sequence_length": 10**15}, {"intermediate_dim": 10**12}, {"num_segments": 10**12}),
        {"num_heads": 10**9, "head_dim": 10**3},
    ],
)
def test_absurd_sizes_are_refused_before_anything_is_built(tmp_path, monkeypatch, change):
    from keras_geneformer import GeneformerBackbone, GeneformerMaskedLM

    preset = shutil.copytree(local_directory("geneformer_mini"), tmp_path / "preset")
    description = json.loads((preset / "preset.json").read_text())
    description["config"]["backbone"]["config"] |= change
    (preset / "preset.json").write_text(json.dumps(description))
    monkeypatch.setattr(GeneformerBackbone, "__init__", None)  # nothing can be built
    message = r".*model\.weights\.h5 holds 6,566,056 bytes of weights; the configuration besi.*"
    refused(message, GeneformerMaskedLM.from_preset, preset)


@pytest.mark.parametrize("change", [{"dropout": None}, {"rings": 1}])
def test_entries_that_no_constructor_takes(tmp_path, change):
    from keras_geneformer import GeneformerMaskedLM

    preset = shutil.copytree(local_directory("geneformer_mini"), tmp_path / "preset")
    description = json.loads((preset / "preset.json").read_text())
    description["config"]["backbone"]["config"] |= change
    (preset / "preset.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match=r"preset\.json has a config that describes no model"):
        GeneformerMaskedLM.from_preset(preset)


def test_a_description_deeper_than_python_counts(tmp_path):
    from keras_geneformer import GeneformerMaskedLM

    preset = shutil.copytree(local_directory("geneformer_mini"), tmp_path / "preset")
    (preset / "preset.json").write_text("[" * 100_000)
    refused(r".*preset\.json is not valid JSON .*", GeneformerMaskedLM.from_preset, preset)
