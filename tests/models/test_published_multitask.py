"""The published multi-task model, against PyTorch; names of tasks and classes."""

import json
import os
import pickle
import re

import keras
import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.models.published import load_published

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CONFIG = {
    "architectures": ["BertForMaskedLM"],
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "hidden_act": "relu",
    "max_position_embeddings": 16,
}
SIZES = (3, 2)
CELLS = {
    "token_ids": np.array([[7, 9, 21, 3, 5], [8, 33, 2, 0, 0]], "int32"),
    "padding_mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], "int32"),
}


class Published(torch.nn.Module):
    """Its tensors by their names, and its arithmetic."""

    def __init__(self, attention):
        super().__init__()
        self.config = transformers.BertConfig(**CONFIG)
        self.bert = transformers.BertModel(self.config)
        if attention:
            self.attention_pool = torch.nn.Module()
            self.attention_pool.attention_weights = torch.nn.Parameter(torch.zeros(16, 1))
        self.classification_heads = torch.nn.ModuleList(torch.nn.Linear(16, n) for n in SIZES)

    def scores(self, masked):
        tokens, mask = (torch.from_numpy(array).long() for array in CELLS.values())
        states = self.bert(input_ids=tokens, attention_mask=mask).last_hidden_state
        pooled = states[:, 0]
        if hasattr(self, "attention_pool"):
            logits = (states @ self.attention_pool.attention_weights)[..., 0]
            if masked:
                logits = logits.masked_fill(mask == 0, -torch.inf)
            pooled = (torch.softmax(logits, 1)[..., None] * states).sum(1)
        return [head(pooled).numpy() for head in self.classification_heads]


@pytest.fixture(scope="module", params=[True, False], ids=["attention", "first"])
def case(request, tmp_path_factory):
    """The model in PyTorch and its directory."""
    torch.manual_seed(4)
    model = Published(request.param).eval()
    directory = tmp_path_factory.mktemp("multitask")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    model.config.to_json_file(directory / "config.json")
    torch.save(model.state_dict(), directory / "pytorch_model.bin")
    return model, directory


def ours(model):
    scores = model(CELLS)
    return [keras.ops.convert_to_numpy(scores[task]) for task in model.tasks]


@pytest.mark.tensors
def test_scores_with_and_without_padding(case, tmp_path):
    theirs, directory = case
    model = load_published(directory)
    attention = hasattr(theirs, "attention_pool")
    assert isinstance(model, kg.GeneformerMultiTaskClassifier)
    assert (model.pooler, model.head_dropout) == (False, 0.1)
    assert model.tasks == {
        "task_0": ["LABEL_0", "LABEL_1", "LABEL_2"],
        "task_1": ["LABEL_0", "LABEL_1"],
    }
    with torch.no_grad():
        masked, padded = theirs.scores(True), theirs.scores(False)
    for received, expected in zip(ours(model), masked):
        np.testing.assert_allclose(received, expected, atol=2e-5)
    as_published = load_published(directory, published=True)
    for received, expected in zip(ours(as_published), padded):
        np.testing.assert_allclose(received, expected, atol=2e-5)
    assert as_published.published == attention
    assert (np.abs(padded[0] - masked[0]).max() > 1e-3) == attention
    model.save_to_preset(tmp_path / "preset")
    again = kg.GeneformerMultiTaskClassifier.from_preset(tmp_path / "preset")
    for received, expected in zip(ours(again), ours(model)):
        np.testing.assert_array_equal(received, expected)


LABELS = {"cell type": {"T": 1, "B": 0, "NK": 2}, "sex": {"f": 0, "m": 1}}
NAMES = {"cell type": ["B", "T", "NK"], "sex": ["f", "m"]}


def test_names_of_tasks_from_pickles_files_and_hand(case, tmp_path):
    _, directory = case
    for given in (NAMES, tmp_path / "tasks.json", tmp_path / "tasks.pkl"):
        (tmp_path / "tasks.json").write_text(json.dumps(NAMES))
        (tmp_path / "tasks.pkl").write_bytes(pickle.dumps(LABELS))
        assert load_published(directory, tasks=given).tasks == NAMES
    for name in ("task_label_mappings.pkl", "task_label_mappings_val.pkl"):
        (directory / name).write_bytes(pickle.dumps(LABELS))
    assert load_published(directory).tasks == NAMES
    (directory / "task_label_mappings_val.pkl").write_bytes(pickle.dumps({"sex": {"f": 0}}))
    message = (
        f"{directory} holds 2 files of names that differ: task_label_mappings.pkl, "
        "task_label_mappings_val.pkl. Say which with tasks=."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_published(directory)
    for name in ("task_label_mappings.pkl", "task_label_mappings_val.pkl"):
        (directory / name).unlink()
    message = (
        f"Received tasks of [2] classes for the checkpoint in {directory}, which has tasks of "
        "[3, 2]. Give as many, in the order of its heads, with tasks=."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_published(directory, tasks={"sex": ["f", "m"]})


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_hostile_pickles_of_names_are_refused_and_not_run(case, tmp_path):
    _, directory = case
    path = tmp_path / "task_label_mappings.pkl"
    path.write_bytes(pickle.dumps({"sex": {"f": Attack(str(tmp_path / "ran"))}}))
    with pytest.raises(ValueError, match=rf"^refused to load {path}: it names posix\.mkdir, and"):
        load_published(directory, tasks=path)
    assert not (tmp_path / "ran").exists()
    for content in ([1], {"sex": 1}, {"sex": {"f": 1, "m": 2}}, {"sex": {"f": 0, "m": None}}):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match="holds"):
            load_published(directory, tasks=path)


def test_keys_of_parallel_training(case, tmp_path):
    theirs, directory = case
    state = {f"module.{key}": value for key, value in theirs.state_dict().items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text((directory / "config.json").read_text())
    one, other = ours(load_published(tmp_path)), ours(load_published(directory))
    for received, expected in zip(one, other):
        np.testing.assert_array_equal(received, expected)
