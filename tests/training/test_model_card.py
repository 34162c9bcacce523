import json

import keras
import pandas as pd
import pytest

from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary
from keras_geneformer.training.model_card import (
    final_metrics,
    model_card,
    training_record,
    write_model_card,
)

pytestmark = pytest.mark.tensors


@pytest.fixture
def record():
    cells = synthetic_dataset(12)
    history = pd.DataFrame(
        {
            "step": [1, 2],
            "epoch": [1, 1],
            "seconds": [1800.0, 3725.4],
            "loss": [5.0, 4.0],
            "accuracy": [0.0, 0.5],
            "validation_loss": [None, 4.5],
        }
    )
    return training_record(
        "tumours",
        model=GeneformerMaskedLM(tiny_backbone()),
        cells=cells.subset(range(10)),
        held=cells.subset([10, 11]),
        vocabulary=tiny_vocabulary(),
        recipe={"name": "continual", "learning_rate": 5e-5},
        history=history,
        seed=7,
        data="x.dataset",
        command="keras-geneformer pretrain --recipe continual",
        began_with="geneformer_mini",
    )


def test_the_record_says_what_the_model_came_from(record, tmp_path):
    write_model_card(tmp_path, record)
    stored = json.loads((tmp_path / "training.json").read_text())
    assert stored == record
    cells = synthetic_dataset(12).subset(range(10))
    assert stored["data"]["tokens"] == cells.lengths.sum()
    assert stored["data"]["tokens_of_a_cell"]["most"] == cells.lengths.max()
    assert (stored["data"]["cells"], stored["data"]["held_out_cells"]) == (10, 2)
    assert stored["vocabulary"] == {
        "version": "tiny",
        "size": 122,
        "checksum": tiny_vocabulary().checksum,
    }
    assert stored["run"] == {"steps": 2, "epochs": 1, "seconds": 3725.4}
    assert stored["metrics"]["train"] == {"loss": 4.0, "accuracy": 0.5}
    assert stored["versions"]["keras"] == keras.__version__
    assert stored["versions"]["backend"] == keras.config.backend()
    assert stored["versions"][keras.config.backend()][0].isdigit()
    assert stored["hardware"]["devices"]


def test_the_card_is_what_the_hub_reads(record, tmp_path):
    write_model_card(tmp_path, record)
    card = (tmp_path / "README.md").read_text()
    front = card.split("---\n")[1]
    assert front.splitlines()[:3] == ["library_name: keras", "tags:", "- keras"]
    assert "license" not in front
    assert "Trained on from `geneformer_mini`" in card
    assert "| validation | 4.5000 |  |" in card
    assert "2 steps, 1 epoch, 1 h 2 min on" in card
    assert "Seed 7." in card
    assert "keras-geneformer pretrain --recipe continual" in card
    assert "| learning_rate | 5e-05 |" in card
    assert tiny_vocabulary().checksum in card
    assert "loss.png" not in card
    assert "![Loss](loss.png)" in model_card(record, picture=True)


def test_final_metrics_are_means_of_the_last_tenth_and_of_a_hundred_steps_at_most():
    history = pd.DataFrame({"loss": [100.0] * 900 + [2.0] * 50 + [4.0] * 50, "epoch": 1})
    assert final_metrics(history) == {"train": {"loss": 3.0}}
    assert final_metrics(pd.concat([history] * 2)) == {"train": {"loss": 3.0}}
    assert final_metrics(history.head(920)) == {"train": {"loss": (72 * 100 + 20 * 2) / 92}}


@pytest.mark.parametrize(
    ("steps", "words"), [(2, "1 step"), (400, "40 steps"), (5000, "100 steps")]
)
def test_the_card_says_of_how_many_steps_its_numbers_are(record, steps, words):
    record["run"]["steps"] = steps
    assert f"mean of the last {words} in training, all held-out cells in" in model_card(record)
    del record["metrics"]["validation"]
    assert f"mean of the last {words} in training.\n" in model_card(record)
