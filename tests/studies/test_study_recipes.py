"""Recipes as published, and what becomes of them on other models and data."""

import pytest

from keras_geneformer.studies import STUDIES, named_study
from keras_geneformer.studies.adaptation import adapted_settings


def test_the_course_projects_settings_stand_as_stated():
    both = {
        "learning_rate": 8.04e-4,
        "decay": "polynomial",
        "warmup": 1812,
        "weight_decay": 0.258828,
        "batch_size": 8,
        "seed": 73,
        "loss": "cross_entropy",
    }
    assert named_study("pancreas-baseline").settings == both | {"freeze_layers": 5, "epochs": 0.6}
    assert named_study("pancreas-enhanced").settings == both | {"freeze_layers": 2, "epochs": 3}
    for name in ("pancreas-baseline", "pancreas-enhanced"):
        assert named_study(name).options["test"] == 0.1
    dosage = named_study("dosage-sensitivity")
    assert dosage.settings == {
        "epochs": 1,
        "batch_size": 24,
        "freeze_layers": 5,
        "loss": "cross_entropy",
    }
    assert dosage.options == {"folds": 5, "cells_used": 10000}
    focal = named_study("dosage-sensitivity-focal")
    assert (focal.settings["freeze_layers"], focal.settings["loss"]) == (4, "focal")
    assert focal.options["cells_used"] is None


def test_only_figures_that_were_stated_are_repeated():
    said = {name: dict(study.published) for name, study in STUDIES.items() if study.published}
    enhanced = {"accuracy": ".979", "macro_f1": ".976"}
    assert said == {
        "pancreas-enhanced": enhanced,
        "pancreas-best": enhanced,
        "dosage-sensitivity": {"auc_mean_of_folds": ".786 ± .100"},
        "dosage-sensitivity-focal": {"auc_mean_of_folds": ".841 ± .058"},
        "dosage-sensitivity-original": {"auc_mean_of_folds": ".914 ± .032"},
    }
    cells = {name: study.published_cells for name, study in STUDIES.items()}
    assert [name for name, number in cells.items() if number == 10000] == [
        "dosage-sensitivity",
        "dosage-sensitivity-original",
    ]
    assert set(cells.values()) == {None, 10000, 16382}


def test_names_are_those_of_the_table():
    assert all(study.name == name for name, study in STUDIES.items())
    with pytest.raises(ValueError, match=r"there is no study 'liver'; expected one of pancreas"):
        named_study("liver")


def test_nothing_is_changed_for_the_model_and_data_of_the_study():
    study = named_study("pancreas-enhanced")
    settings, notes = adapted_settings(study, 6, 14744, {})
    assert (settings, notes) == (study.settings, [])
    _, notes = adapted_settings(named_study("pancreas-baseline"), 6, 14744, {})
    assert notes == ["As published, the run ends before the learning rate has reached its peak."]


def test_smaller_models_and_data_are_told():
    settings, notes = adapted_settings(named_study("pancreas-enhanced"), 3, 360, {})
    assert settings["freeze_layers"] == 1
    assert settings["warmup"] == round(1812 * 135 / 5529)
    assert notes == [
        "The study froze 2 of 6 encoder blocks; this model has 3, of which 1 were frozen.",
        "The learning rate rose over 1812 steps, in a run of about 5529; here it is over 44, as "
        "large a share of about 135.",
    ]


def test_what_the_user_says_stands():
    asked = {"freeze_layers": 2, "warmup": 10, "epochs": 1.0}
    settings, notes = adapted_settings(named_study("pancreas-enhanced"), 3, 360, asked)
    assert {name: settings[name] for name in asked} == asked
    assert notes == [
        "warmup is 10 as asked; the study's is given below.",
        "epochs is 1.0 as asked; the study's is given below.",
    ]
