import re

import pytest

from keras_geneformer.conversion.own_entries import (
    arguments_of_own_entries,
    own_entries,
    own_tasks,
    tasks_of_own_entry,
)
from keras_geneformer.conversion.published_config import backbone_arguments, task_of

CHECKSUM = "0123456789abcdef" * 4


def test_there_and_back():
    arguments = {"special_token_ids": (0, 1, 5), "vocabulary_checksum": CHECKSUM}
    assert arguments_of_own_entries({"vocab_size": 6, **own_entries(arguments)}) == arguments
    assert arguments_of_own_entries({"vocab_size": 6}) == {}
    unknown = {"special_token_ids": (), "vocabulary_checksum": None}
    assert own_entries(unknown) == {}


def test_they_go_before_what_a_size_says():
    config = {
        "vocab_size": 20_275,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "hidden_size": 4,
        "intermediate_size": 4,
        "max_position_embeddings": 4096,
        "hidden_act": "relu",
    }
    assert backbone_arguments(config)["special_token_ids"] == (0, 1, 2, 3)
    assert backbone_arguments(config | {"special_token_ids": [0, 7]})["special_token_ids"] == (0, 7)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"special_token_ids": [0, 6]},
            "config.json: received special_token_ids [0, 6]; expected token ids below vocab_size "
            "6. Write the checkpoint again.",
        ),
        (
            {"special_token_ids": "01"},
            "config.json: received special_token_ids '01'; expected token ids below vocab_size 6. "
            "Write the checkpoint again.",
        ),
        (
            {"vocabulary_checksum": "v1"},
            "config.json: received vocabulary_checksum 'v1'; expected a sha256 of 64 hexadecimal "
            "digits. Write the checkpoint again.",
        ),
    ],
)
def test_what_we_do_not_write_is_refused(entry, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        arguments_of_own_entries({"vocab_size": 6, **entry})


def test_tasks():
    tasks = {"type": ["B", "T"], "age": ["old", "young"]}
    assert tasks_of_own_entry(own_tasks(tasks)) == tasks
    assert list(tasks_of_own_entry(own_tasks(tasks))) == ["type", "age"]
    assert tasks_of_own_entry({}) is None


@pytest.mark.parametrize(
    "entry", ["a", [3], [{"name": "a"}], [{"name": 1, "classes": []}], [{"name": "a"}] * 2]
)
def test_other_tasks_are_refused(entry):
    message = (
        f"config.json: received tasks {entry!r}; expected a list of tasks of unlike names, each as "
        '{"name": "disease", "classes": ["no", "yes"]}. Write the checkpoint again.'
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tasks_of_own_entry({"tasks": entry})


def test_kinds_of_problem():
    assert task_of({}) == task_of({"problem_type": None}) == "single-label"
    assert task_of({"problem_type": "regression"}) == "regression"
    message = (
        "config.json: received problem_type 'ranking'; expected single_label_classification, "
        "multi_label_classification, regression or null."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        task_of({"problem_type": "ranking"})
