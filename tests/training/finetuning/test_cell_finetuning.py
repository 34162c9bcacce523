import keras
import numpy as np
import pandas as pd
import pytest

from keras_geneformer.models.backbone import GeneformerBackbone
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.testing import CELL_TYPES, synthetic_dataset, tiny_backbone, tiny_vocabulary
from keras_geneformer.training.finetuning.cell_finetuning import finetune_cells
from keras_geneformer.training.finetuning.prediction import predict

pytestmark = pytest.mark.tensors


@pytest.fixture(scope="module")
def backbone():
    keras.utils.set_random_seed(1)
    return tiny_backbone(num_layers=2, initializer_range=0.1)


@pytest.fixture(scope="module")
def finetuned(backbone, tmp_path_factory):
    before = backbone.get_weights()
    output = tmp_path_factory.mktemp("finetuned") / "cells"
    result = finetune_cells(
        backbone,
        synthetic_dataset(150),
        "cell_type",
        validation=0.2,
        epochs=3,
        batch_size=20,
        learning_rate=1e-2,
        freeze_layers=1,
        progress=False,
        output=output,
        vocabulary=tiny_vocabulary(),
    )
    return before, result, output


def test_types_are_learnt(finetuned):
    _, result, _ = finetuned
    assert result.model.classes == sorted(CELL_TYPES)
    assert result.metrics["accuracy"] > 0.85
    assert result.metrics["macro_f1"] == pytest.approx(result.history["validation_macro_f1"].max())
    assert (result.predictions["true"] == result.predictions["label"]).mean() == pytest.approx(
        result.metrics["accuracy"]
    )
    assert result.confusion.to_numpy().sum() == len(result.predictions) == 30


def test_the_callers_model_is_not_changed(finetuned, backbone):
    before, result, _ = finetuned
    for old, new in zip(before, backbone.get_weights()):
        np.testing.assert_array_equal(old, new)
    assert backbone.get_layer("encoder_block_0").trainable
    assert result.model.backbone is not backbone


def test_frozen_layers_stay_and_others_learn(finetuned, backbone):
    _, result, _ = finetuned
    for name, frozen in [("embeddings", 1), ("encoder_block_0", 1), ("encoder_block_1", 0)]:
        old = backbone.get_layer(name).get_weights()
        new = result.model.backbone.get_layer(name).get_weights()
        assert all(np.array_equal(a, b) for a, b in zip(old, new)) == bool(frozen)


def test_the_output_holds_the_classifier_and_its_tables(finetuned):
    _, result, output = finetuned
    cells = synthetic_dataset(20, seed=4)
    predictions = predict(output, cells)
    pd.testing.assert_frame_equal(predictions, predict(result.model, cells), rtol=1e-4, atol=1e-6)
    assert (predictions["label"] == cells.obs["cell_type"]).mean() > 0.7
    assert pd.read_csv(output / "history.csv").shape == result.history.shape
    assert pd.read_csv(output / "confusion.csv", index_col=0).to_numpy().sum() == 30
    assert len(pd.read_csv(output / "predictions.csv")) == 30
    assert "macro_f1" in (output / "metrics.json").read_text()


def test_cells_without_a_label_are_left_out_and_counted(backbone):
    cells = synthetic_dataset(24)
    cells.obs["type"] = cells.obs["cell_type"].where(np.arange(24) % 4 > 0)
    message = r"6 of 24 cells have no label in obs\['type'\] and are left out\."
    with pytest.warns(UserWarning, match=message):
        result = finetune_cells(
            backbone, cells, "type", validation=0.25, batch_size=24, progress=False
        )
    assert len(result.history) == 1
    assert result.predictions["true"].isin(CELL_TYPES).all()


def test_whole_donors_are_held_out(backbone):
    cells = synthetic_dataset(48)
    result = finetune_cells(
        backbone, cells, "cell_type", validation="donor", batch_size=48, progress=False
    )
    held = cells.obs.loc[result.predictions.index, "donor"]
    assert held.nunique() == 1
    assert len(held) == (cells.obs["donor"] == held.iloc[0]).sum()


def test_the_best_epoch_is_kept(backbone):
    result = finetune_cells(
        backbone,
        synthetic_dataset(40),
        "cell_type",
        validation=0.3,
        epochs=4,
        batch_size=40,
        learning_rate=3e-2,
        progress=False,
    )
    assert result.metrics["macro_f1"] == pytest.approx(result.history["validation_macro_f1"].max())
    again = predict(result.model, synthetic_dataset(40)).loc[result.predictions.index]
    np.testing.assert_allclose(
        again.filter(like="prob_"), result.predictions.filter(like="prob_"), atol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_key": "type"}, r"The cells have no column 'type' in obs; it has cell_type, donor"),
        ({"label_key": "one"}, r"All labelled cells are of one class \('B' in obs\['one'\]\): a"),
        ({"label_key": "nan"}, r"No cell has a label in obs\['nan'\]\."),
        ({"label_key": "alone"}, r"Only one cell is of class rare: a class needs two cells at"),
        ({"validation": "lab"}, r"The cells have no column 'lab' in obs to split by; it has"),
        ({"validation": "nan"}, r"12 cells have no group in obs\['nan'\]: drop them, or name"),
        ({"validation": 0.0}, r"The share of cells to validate on must be between 0 and 1, not 0"),
        ({"freeze_layers": 3}, r"Received freeze_layers=3; this backbone has 2 encoder blocks"),
        ({"pooling": "cls"}, r"Received pooling='cls', but the vocabulary of this backbone has no"),
        (
            {"validation": None, "early_stopping": 2},
            r"Received early_stopping=2 without validation cells, whose score it goes by",
        ),
        ({"label_key": "tenth", "task": "regression"}, r"All training cells have the same 'tenth'"),
        (
            {"label_key": "tenth", "task": "regression", "class_weights": "balanced"},
            r"Received class_weights='balanced' for a regression, which has no classes",
        ),
        ({"epochs": 0}, r"epochs=0 and batch_size=12; expected more than 0 epochs"),
    ],
)
def test_refuses(backbone, options, message):
    cells = synthetic_dataset(12)
    cells.obs["one"] = "B"
    cells.obs["nan"] = np.nan
    cells.obs["tenth"] = 0.1
    cells.obs["alone"] = ["rare", *["B"] * 11]
    with pytest.raises(ValueError, match=message):
        finetune_cells(backbone, cells, **({"label_key": "cell_type", "progress": False} | options))


def test_refuses_an_output_that_is_something_else(backbone, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="exists and holds something else"):
        finetune_cells(backbone, synthetic_dataset(12), "cell_type", output=tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_predictions_come_in_the_order_of_the_cells_whatever_the_batches():
    cells = synthetic_dataset(13)
    classifier = GeneformerCellClassifier(tiny_backbone(num_layers=1), num_classes=3)
    one, other = predict(classifier, cells, batch_size=1), predict(classifier, cells, batch_size=5)
    assert one.index.equals(cells.obs.index)
    assert one.columns.tolist() == ["label", "prob_0", "prob_1", "prob_2"]
    np.testing.assert_allclose(one.filter(like="prob_"), other.filter(like="prob_"), atol=1e-5)
    np.testing.assert_allclose(one.filter(like="prob_").sum(axis=1), 1, atol=1e-12)


def test_predict_refuses_a_model_that_is_no_classifier():
    held = "The preset geneformer_mini holds a Geneformer.*, not a GeneformerCellClassifier: fine"
    with pytest.raises(ValueError, match=held):
        predict("geneformer_mini", synthetic_dataset(2))
    message = "Received a GeneformerBackbone to predict with; expected a GeneformerCellClassifier"
    with pytest.raises(ValueError, match=message):
        predict(tiny_backbone(num_layers=1), synthetic_dataset(2))


def test_predict_refuses_cells_of_another_vocabulary(backbone):
    assert isinstance(backbone, GeneformerBackbone)
    classifier = GeneformerCellClassifier(backbone, num_classes=2)
    with pytest.raises(ValueError, match="The cells were tokenized with another vocabulary"):
        predict(classifier, synthetic_dataset(2, cls=True))
