"""A student learns from its teacher."""

import json
import re

import keras
import numpy as np
import pytest

from keras_geneformer import (
    GeneformerCellClassifier,
    GeneformerGeneClassifier,
    GeneformerMaskedLM,
    add_lora,
    distill,
    merge_lora,
    quantize,
)
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary
from keras_geneformer.training.distilling.students import chosen_blocks, shallower

SHAPE = {"num_layers": 2, "hidden_dim": 16, "intermediate_dim": 16, "initializer_range": 0.2}


def teacher():
    keras.utils.set_random_seed(5)
    return GeneformerCellClassifier(
        tiny_backbone(**SHAPE), classes=["B cell", "T cell", "monocyte"], pooling="mean"
    )


@pytest.mark.tensors
def test_a_student_of_another_width_comes_closer_to_its_teacher():
    original = teacher()  # it sets the seed, of the student's weights too
    student = tiny_backbone(**SHAPE | {"num_layers": 1, "hidden_dim": 8})
    result = distill(
        original,
        synthetic_dataset(36),
        student=student,
        epochs=6,
        learning_rate=1e-2,
        progress=False,
        seed=2,
    )
    losses = result.history["loss"]
    assert losses.tail(5).mean() < 0.6 * losses.head(5).mean()
    assert result.model.backbone.hidden_dim == 8
    assert result.parameters < result.teacher_parameters


def test_a_seed_gives_the_same_student_and_the_teacher_stays_as_it_is(tmp_path):
    large, cells = teacher(), synthetic_dataset(24)
    before = large.get_weights()
    students = [
        distill(
            large,
            cells,
            layers=1,
            label_key="cell_type",
            progress=False,
            output=tmp_path / "student",
            vocabulary=tiny_vocabulary(),
        )
        for _ in range(2)
    ]
    for one, other in zip(*(result.model.get_weights() for result in students)):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(before, large.get_weights()):
        np.testing.assert_array_equal(one, other)
    again = GeneformerCellClassifier.from_preset(tmp_path / "student")
    assert again.backbone.num_layers == 1
    assert again.backbone.dropout == large.backbone.dropout
    assert json.loads((tmp_path / "student" / "run.json").read_text())["blocks"] == [1]
    card = (tmp_path / "student" / "README.md").read_text()
    assert "It began with blocks 1 of the teacher's 2." in card
    assert {"accuracy", "agreement", "teacher_accuracy"} <= students[0].metrics.keys()


@pytest.mark.tensors
@pytest.mark.skipif(
    keras.config.backend() == "jax", reason="compiles for a minute, as the classifier's step did"
)
def test_a_masked_lm_teaches_another():
    large = GeneformerMaskedLM(tiny_backbone(**SHAPE))
    result = distill(
        large, synthetic_dataset(24), layers=[2], epochs=2, batch_size=6, progress=False
    )
    assert isinstance(result.model, GeneformerMaskedLM)
    assert result.history["loss"].iloc[-1] < result.history["loss"].iloc[0]
    assert {"loss", "top5", "teacher_loss"} <= result.metrics.keys()


def test_a_student_begins_with_blocks_of_its_teacher():
    backbone = tiny_backbone(num_heads=[4, 2, 3], head_dim=8, intermediate_dim=[5, 6, 7])
    student = shallower(backbone, chosen_blocks(2, 3))
    assert (student.num_heads, student.intermediate_dim) == ((4, 3), (5, 7))
    for own, there in (("embeddings", "embeddings"), ("encoder_block_1", "encoder_block_2")):
        for one, other in zip(
            student.get_layer(own).get_weights(), backbone.get_layer(there).get_weights()
        ):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Give either layers, of the teacher's blocks, or a student."),
        (
            {"layers": 3},
            "Received layers=3; the teacher has 2 blocks: expected 1 to 2, or their numbers.",
        ),
        (
            {"layers": [2, 1]},
            "Received layers=[2, 1]; expected numbers of blocks from 1 to 2, ascending, each once.",
        ),
        (
            {"layers": 1, "temperature": 0},
            "Received temperature=0; expected a number above 0.",
        ),
        (
            {"layers": 1, "soft": 0, "hard": 0, "hidden": 0},
            "Received soft=0, hard=0 and hidden=0: there is nothing to learn.",
        ),
        (
            {"layers": 1, "label_key": "cell_type", "teacher": GeneformerMaskedLM},
            "Received label_key='cell_type' for a masked LM, which learns from genes: leave it "
            "out.",
        ),
    ],
)
def test_what_cannot_be_taught_is_refused(options, message):
    options = dict(options)
    kind = options.pop("teacher", None)
    large = teacher() if kind is None else kind(tiny_backbone(**SHAPE))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        distill(large, synthetic_dataset(6), progress=False, **options)


def test_a_teacher_without_scores_and_a_setting_of_others_are_refused():
    genes = GeneformerGeneClassifier(tiny_backbone(**SHAPE), num_classes=2)
    with pytest.raises(ValueError, match=r"^Received a GeneformerGeneClassifier as the teacher; "):
        distill(genes, synthetic_dataset(6), layers=1)
    with pytest.raises(ValueError, match=r"^There is no setting 'loss' of a student; "):
        distill(teacher(), synthetic_dataset(6), layers=1, loss="focal")


def test_a_teacher_without_its_own_weights_is_refused():
    large = teacher()
    add_lora(large, rank=2)
    with pytest.raises(ValueError, match=r"has adapters \(.*\) and cannot be a teacher\. Call "):
        distill(large, synthetic_dataset(6), layers=1)
    merge_lora(large)
    quantize(large, "int8")
    with pytest.raises(ValueError, match=r"is quantized and cannot be a teacher, whose weights "):
        distill(large, synthetic_dataset(6), layers=1)
