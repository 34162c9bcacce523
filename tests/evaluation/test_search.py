"""How trials are proposed, kept and taken up again; in place of the network is a stand-in."""

import sys

import pandas as pd
import pytest

pytest.importorskip("optuna", reason="the extra [search] is not installed")

from keras_geneformer.evaluation import search as searching
from keras_geneformer.evaluation.search import search
from keras_geneformer.evaluation.search_space import check_space, default_space, usual_point
from keras_geneformer.testing import synthetic_dataset, tiny_backbone
from keras_geneformer.training.finetuning.settings import FinetuneSettings

RATES = {"learning_rate": (1e-4, 1e-1, "log")}


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(num_layers=1)


@pytest.fixture
def trained(monkeypatch):
    """Settings that were tried; the score is better the nearer the rate is to .01."""
    tried = []

    def stand_in(model, cells, label_key, *, after_epoch, progress, **settings):
        tried.append(settings)
        if settings["learning_rate"] > 0.02:
            raise FloatingPointError("The loss became nan")
        for epoch in (1, 2, 3):
            far = abs(settings["learning_rate"] - 0.01)
            after_epoch(epoch, {"validation_macro_f1": 1 - far * 10, "validation_loss": far})

    monkeypatch.setattr(searching, "finetune_cells", stand_in)
    return tried


def run(backbone, **options):
    options = {"space": RATES, "progress": False} | options
    return search(backbone, synthetic_dataset(30), "cell_type", **options)


def test_the_first_trial_has_the_defaults_and_bad_ones_are_given_up(backbone, trained):
    found = run(backbone, trials=14, seed=3, epochs=2)
    assert trained[0]["learning_rate"] == FinetuneSettings().learning_rate
    assert all(one["epochs"] == 2 and one["calibrate"] is False for one in trained)
    assert len(found.trials) == len(trained) == 14
    complete = found.trials[found.trials["state"] == "complete"]
    pruned = found.trials[found.trials["state"] == "pruned"]
    assert set(pruned["epochs"]) == {0, 1}  # not finite, and below the median after one epoch
    best = complete.loc[complete["score"].idxmax()]
    assert found.best_score == best["score"]
    assert found.best_settings == {
        "learning_rate": best["learning_rate"],
        "validation": 0.1,
        "epochs": 2,
    }


def test_a_search_goes_on_from_its_file(backbone, trained, tmp_path):
    options = {"storage": tmp_path / "deep" / "search.db", "seed": 1}
    first = run(backbone, trials=3, **options)
    again = run(backbone, trials=5, **options)
    assert len(trained) == 5
    pd.testing.assert_frame_equal(again.trials.iloc[:3], first.trials)
    assert again.trials["learning_rate"].nunique() == 5
    assert len(run(backbone, trials=4, **options).trials) == 5
    message = r"search\.db holds a run of other data or settings: settings \(there"
    with pytest.raises(ValueError, match=message):
        run(backbone, trials=6, epochs=3, **options)


def test_a_loss_is_minimised(backbone, trained):
    found = run(backbone, trials=6, objective="loss")
    complete = found.trials[found.trials["state"] == "complete"]
    assert found.best_score == complete["score"].min()


def test_the_space_is_the_usual_one_but_for_what_is_fixed(backbone, trained):
    found = run(backbone, trials=1, space=None, loss="focal", decay="cosine")
    assert set(found.trials.columns) > {"learning_rate", "warmup", "weight_decay", "freeze_layers"}
    assert "loss" not in found.trials.columns
    assert trained[0]["loss"] == "focal"
    assert usual_point(default_space(2))["learning_rate"] == FinetuneSettings().learning_rate
    assert usual_point({"learning_rate": [1.0]}) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, "Received trials=0 and workers=1; expected 1 or more"),
        ({"objective": "auc"}, "Received objective='auc'; expected one of macro_f1, accuracy"),
        ({"workers": 2}, "Received workers=2 without storage: processes share their trials"),
        ({"validation": None}, "Received validation=None; trials are scored on validation cells"),
        ({"learning_rate": 1e-3}, "learning_rate is in the space and fixed to 0.001 as well"),
        ({"rate": 1}, "Received rate, which finetune_cells does not take"),
    ],
)
def test_bad_input(backbone, trained, options, message):
    with pytest.raises(ValueError, match=message):
        run(backbone, **options)
    assert trained == []


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "The space holds no setting to search"),
        ({"rate": [1]}, "The space has 'rate', which is no setting to search"),
        ({"warmup": (0.5, 0.1)}, r"The space has warmup: \(0\.5, 0\.1\); expected a list"),
        ({"warmup": (0.0, 0.1, "log")}, "The space has warmup"),
        ({"loss": "focal"}, "The space has loss: 'focal'; expected a list of values"),
    ],
)
def test_bad_spaces(space, message):
    with pytest.raises(ValueError, match=message):
        check_space(space, {})


def test_no_trial_that_ends_is_an_error(backbone, trained):
    with pytest.raises(ValueError, match="None of 2 trials came to its end"):
        run(backbone, trials=2, space={"learning_rate": (0.06, 0.1)})


def test_a_missing_package_is_named(backbone, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_geneformer\[search\]'"):
        run(backbone)
