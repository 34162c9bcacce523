"""Bare models, names of classes, and configs that ask for more than there is."""

import json
import pickle
import re
import shutil
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import keras_geneformer as kg
from keras_geneformer.conversion.assignment import export_checkpoint
from keras_geneformer.conversion.table import checkpoint_table
from keras_geneformer.models.published import load_published


@pytest.fixture
def published(reference, tmp_path):
    """A copy of a published checkpoint, to be changed."""

    def copy(name, **changes):
        directory = shutil.copytree(reference / "checkpoints" / name, tmp_path / name)
        path = directory / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return directory

    return copy


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_bare_bert(published, prefix):
    directory = published("tiny-v1-cell", architectures=["BertModel"])
    path = directory / "model.safetensors"
    tensors = load_file(path)
    bare = {key: value for key, value in tensors.items() if key.startswith("bert.")}
    assert "bert.pooler.dense.bias" in bare
    save_file({prefix + key.removeprefix("bert."): value for key, value in bare.items()}, path)
    backbone = load_published(directory)
    assert type(backbone) is kg.GeneformerBackbone
    exported = export_checkpoint(backbone.weights, checkpoint_table(3, "backbone"))
    assert bare.keys() - exported.keys() == {"bert.pooler.dense.bias", "bert.pooler.dense.weight"}
    for key, value in exported.items():
        assert value.tobytes() == bare[key].tobytes()
    # Loading makes no layer that starts from zeros afterwards.
    head = kg.GeneformerCellClassifier(backbone, num_classes=2)
    assert np.abs(head.get_layer("scores").get_weights()[0]).max() > 0


def test_names_of_classes(published, tmp_path):
    directory = published("tiny-v1-cell")
    names = ["B", "T", "NK", "mono", "5"]
    by_number = {4: 5, 0: "B", 1: "T", 2: "NK", 3: "mono"}
    (tmp_path / "a.json").write_text(json.dumps(names))
    (tmp_path / "b.json").write_text(
        json.dumps({str(n): str(name) for n, name in by_number.items()})
    )
    (tmp_path / "c.csv").write_text("class\n" + "\n".join(names) + "\n")
    rows = "\n".join(f"{number},{name}" for number, name in by_number.items())
    (tmp_path / "d.csv").write_text(f"id,class\n{rows}\n")
    (tmp_path / "e.pkl").write_bytes(pickle.dumps(by_number))
    assert load_published(directory).classes is None
    for given in (names, *(tmp_path / name for name in ("a.json", "b.json", "c.csv", "d.csv"))):
        assert load_published(directory, classes=given).classes == names
    shutil.copy(tmp_path / "e.pkl", directory / "heart_id_class_dict.pkl")
    assert load_published(directory).classes == names
    message = (
        f"Received 2 names of classes for the checkpoint in {directory}, which has 5: B, T. Give "
        "as many with classes=."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_published(directory, classes=["B", "T"])


def test_hostile_pickles_of_classes_are_refused_and_not_run(published, tmp_path):
    directory = published("tiny-v1-gene")

    class Attack:
        def __reduce__(self):
            return shutil.rmtree, (str(directory),)

    (directory / "x_id_class_dict.pkl").write_bytes(pickle.dumps({0: "a", 1: Attack()}))
    with pytest.raises(ValueError, match=r"^refused to load .*: it names shutil\.rmtree, and only"):
        load_published(directory)
    assert (directory / "config.json").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 4 * 10**9}, r"has shape \(25426, 32\); .* expects \(25426, 4000000000\)"),
        ({"vocab_size": 10**15}, r"has shape \(25426, 32\); .* expects \(1000000000000000, 32\)"),
        ({"max_position_embeddings": 10**12}, r"has shape \(2048, 32\); .* expects \(10{12}, 32\)"),
        ({"intermediate_size": 10**10}, r"has shape \(64, 32\); .* expects \(10{10}, 32\)"),
        ({"type_vocab_size": 10**10}, r"has shape \(2, 32\); .* expects \(10{10}, 32\)"),
        ({"num_hidden_layers": 10**12}, r"names 10{12} layers; the checkpoint has 58 tensors"),
        ({"hidden_size": -32}, r"received hidden_size -32; expected a whole number of at least 1"),
        ({"hidden_size": 32.0}, r"received hidden_size 32\.0; expected a whole number of at least"),
        ({"vocab_size": True}, r"received vocab_size True; expected a whole number of at least 1"),
        ({"num_attention_heads": 0}, r"received num_attention_heads 0; expected a whole number"),
        ({"num_attention_heads": 5}, r"hidden_size 32 and num_attention_heads 5; the heads must"),
        (
            {"hidden_dropout_prob": 1},
            r"received hidden_dropout_prob 1; expected a rate of at least",
        ),
        ({"layer_norm_eps": "x"}, r"received layer_norm_eps 'x'; expected a number of at least 0"),
        ({"initializer_range": float("nan")}, r"received initializer_range nan; expected a number"),
        ({"id2label": {"1": "a"}}, r"received id2label \{'1': 'a'\}; expected a name for each of"),
        ({"hidden_act": ["relu"]}, r"received hidden_act \['relu'\]; expected one of relu, gelu"),
        ({"architectures": [{}]}, r"Received a checkpoint of architectures \[\{\}\]; expected one"),
    ],
)
def test_absurd_configs_are_refused_before_anything_is_made(published, changes, message):
    directory = published("tiny-v1", **changes)
    tracemalloc.start()
    with pytest.raises(ValueError, match=message):
        load_published(directory)
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()
