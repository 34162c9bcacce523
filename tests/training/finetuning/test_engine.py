import keras
import numpy as np
import pandas as pd
import pytest

from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.training.finetuning.cell_finetuning import finetune_cells
from keras_geneformer.training.finetuning.gene_finetuning import finetune_genes
from keras_geneformer.training.finetuning.multitask_finetuning import finetune_multitask
from keras_geneformer.training.finetuning.prediction import predict

pytestmark = pytest.mark.tensors

TRAINING = {"batch_size": 16, "learning_rate": 1e-2, "progress": False}


@pytest.fixture(scope="module")
def backbone():
    keras.utils.set_random_seed(1)
    return tiny_backbone(num_layers=2, initializer_range=0.1)


@pytest.fixture(scope="module")
def shallow():
    keras.utils.set_random_seed(2)
    return tiny_backbone(num_layers=1, initializer_range=0.1)


@pytest.fixture(scope="module")
def cells():
    """Of one length, so that JAX compiles once."""
    whole = synthetic_dataset(96)
    obs = whole.obs.copy()
    kind = obs["cell_type"].astype(str)
    obs["dose"] = kind.map({"B cell": 100.0, "T cell": 104.0, "monocyte": 108.0})
    obs["marks"] = kind.map({"B cell": "b;small", "T cell": "small", "monocyte": "large"})
    return CellDataset([ids[:24] for ids in whole], obs, vocabulary=tiny_vocabulary())


@pytest.fixture(scope="module")
def tested(backbone, cells):
    return finetune_cells(
        backbone,
        cells,
        "cell_type",
        validation=0.2,
        test=0.2,
        epochs=12,
        early_stopping=2,
        pooling="mean",
        **TRAINING,
    )


@pytest.mark.parametrize(("pooling", "head_layers"), [("first", 0), ("mean", 0), ("first", 1)])
def test_the_shorter_network_gives_the_models_scores(backbone, pooling, head_layers):
    model = GeneformerCellClassifier(
        backbone, num_classes=3, pooling=pooling, head_layers=head_layers
    )
    inputs = {
        "token_ids": np.array([[5, 7, 9, 0], [8, 4, 3, 11]], dtype="int32"),
        "padding_mask": np.array([[1, 1, 1, 0], [1, 1, 1, 1]], dtype="int32"),
    }
    expected = keras.ops.convert_to_numpy(model(inputs))
    found = keras.ops.convert_to_numpy(model.network()(inputs))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    states = keras.ops.convert_to_numpy(backbone.hidden_state_model(1)(inputs))
    above = model.network(above=1)({"hidden_states": states, **inputs})
    np.testing.assert_allclose(keras.ops.convert_to_numpy(above), expected, rtol=1e-4, atol=1e-5)


def test_cells_that_test_chose_nothing_and_training_stops_early(tested, cells):
    parts = tested.parts
    assert parts.value_counts().to_dict() == {"train": 63, "validation": 15, "test": 18}
    assert set(tested.test_predictions.index) == set(parts.index[parts == "test"])
    assert tested.test_metrics["accuracy"] > 0.7
    epochs = tested.history["epoch"].max()
    best = tested.history["validation_macro_f1"].dropna().to_numpy()
    assert epochs == min(12, int(np.argmax(best)) + 1 + 2)
    assert 0 <= tested.metrics["ece"] <= 1


def test_cells_without_a_class_are_left_unassigned(tested, cells, tmp_path):
    model = tested.model
    model.save_to_preset(tmp_path / "preset")
    plain = predict(model, cells)
    again = predict(GeneformerCellClassifier.from_preset(tmp_path / "preset"), cells)
    pd.testing.assert_frame_equal(plain, again, rtol=1e-4, atol=1e-6)
    doubtful = predict(tmp_path / "preset", cells, unassigned="confidence")
    expected = plain.filter(like="prob_").max(axis=1) < model.calibration.threshold
    assert (doubtful["label"] == "unassigned").equals(expected)
    model.save_to_preset(tmp_path / "preset")
    sure = predict(model, cells, unassigned=0.9)
    low = plain.filter(like="prob_").max(axis=1) < 0.9
    assert (sure["label"] == "unassigned").equals(low)
    far = predict(model, cells, unassigned="distance")
    np.testing.assert_allclose(far["prob_B cell"], plain["prob_B cell"], rtol=1e-3, atol=1e-4)
    expected = far["distance"] > model.calibration.distance
    assert ((far["label"] == "unassigned") == expected).all()
    assert expected.mean() < 0.2
    with pytest.raises(ValueError, match=r"Received unassigned='doubt'; expected 'confidence'"):
        predict(model, cells, unassigned="doubt")
    bare = GeneformerCellClassifier(model.backbone, classes=["B", "T"])
    with pytest.raises(ValueError, match=r"this classifier was not calibrated"):
        predict(bare, cells, unassigned="distance")


def test_what_frozen_blocks_give_is_computed_once(backbone, cells):
    options = {"freeze_layers": 1, "epochs": 2, "validation": None, **TRAINING}
    kept = finetune_cells(backbone, cells, "cell_type", cache=True, **options)
    anew = finetune_cells(backbone, cells, "cell_type", cache=False, **options)
    assert kept.metrics == {}
    assert kept.predictions.empty
    np.testing.assert_allclose(kept.history["loss"], anew.history["loss"], rtol=1e-4)
    with pytest.raises(ValueError, match=r"Received cache=True, and there is nothing"):
        finetune_cells(backbone, cells, "cell_type", cache=True, validation=None, progress=False)


def test_blocks_thaw_from_the_top(backbone, cells):
    result = finetune_cells(
        backbone, cells, "cell_type", unfreeze=1, epochs=2, validation=None, **TRAINING
    )
    moved = {
        name: not all(
            np.array_equal(old, new)
            for old, new in zip(
                backbone.get_layer(name).get_weights(),
                result.model.backbone.get_layer(name).get_weights(),
            )
        )
        for name in ("embeddings", "encoder_block_0", "encoder_block_1")
    }
    assert moved == {"embeddings": False, "encoder_block_0": False, "encoder_block_1": True}


def test_several_labels(shallow, cells):
    result = finetune_cells(
        shallow,
        cells,
        "marks",
        task="multi-label",
        epochs=6,
        pooling="mean",
        **TRAINING,
    )
    assert result.model.classes == ["b", "large", "small"]
    assert result.metrics["macro_f1"] > 0.6
    probabilities = result.predictions.filter(like="prob_")
    assert ((probabilities >= 0) & (probabilities <= 1)).all(axis=None)
    with pytest.raises(ValueError, match=r"Received sampling='upsample' for a multi-label task"):
        finetune_cells(
            shallow, cells, "marks", task="multi-label", sampling="upsample", progress=False
        )


def test_numbers_come_back_in_their_units(shallow, cells):
    options = {"task": "regression", "epochs": 8, "pooling": "mean", "deterministic": True}
    result = finetune_cells(shallow, cells, "dose", **options, **TRAINING)
    assert 100 < result.model.offsets[0] < 108
    assert result.metrics["rmse"] < 3.0
    assert result.metrics["pearson"] > 0.5
    again = predict(result.model, cells.subset(result.parts.to_numpy() == "validation"))
    np.testing.assert_allclose(again["value_dose"], result.predictions["value_dose"], rtol=1e-4)


def test_only_training_cells_are_drawn_again(backbone, cells, monkeypatch):
    from keras_geneformer.training.finetuning import cell_finetuning

    seen = {}

    def untrained(model, batches, settings, **others):
        seen[settings.sampling] = batches
        return pd.DataFrame({"step": [1], "loss": [0.0]})

    monkeypatch.setattr(cell_finetuning, "run_finetuning", untrained)
    rare = cells.subset(np.r_[0:60, 60:96:3])
    for sampling in ("upsample", "downsample", "balanced"):
        result = finetune_cells(
            backbone,
            rare,
            "cell_type",
            sampling=sampling,
            validation=0.2,
            calibrate=False,
            batch_size=6,
            progress=False,
        )
        trained = set(result.parts.index[result.parts == "train"])
        batches = seen[sampling]
        assert set(batches.cells.obs.index) <= trained
        assert len(result.predictions) == (result.parts == "validation").sum()
        counts = np.bincount(np.concatenate([labels for _, labels, _ in batches]))
        assert counts.max() - counts.min() <= (len(batches) if sampling == "balanced" else 0)
        if sampling == "balanced":
            assert all(
                np.bincount(labels, minlength=3).tolist() == [2] * 3 for _, labels, _ in batches
            )


def test_a_run_repeated_is_the_same_to_the_bit(shallow, cells):
    options = {"epochs": 1, "validation": None, "deterministic": True, **TRAINING}
    one, other = (finetune_cells(shallow, cells, "cell_type", **options) for _ in range(2))
    for first, second in zip(one.model.get_weights(), other.model.get_weights()):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("finetune", [finetune_cells, finetune_multitask, finetune_genes])
def test_adapters_are_not_lost_in_a_preset(shallow, cells, tmp_path, finetune):
    learnt = {
        finetune_cells: "cell_type",
        finetune_multitask: ["cell_type", "donor"],
        finetune_genes: {"marker": ["GENE1", "GENE2"], "other": ["GENE90", "GENE91"]},
    }
    options = {"lora": 2, "merge": False, "output": tmp_path / "x", "progress": False}
    with pytest.raises(ValueError, match=r"^Received output and merge=False: a preset holds no"):
        finetune(shallow, cells, learnt[finetune], **options)
