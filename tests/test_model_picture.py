"""The picture of a model: every weight counted once, every part named."""

import keras
import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.plotting import model_summary
from keras_geneformer.plotting.model_parts import model_parts
from keras_geneformer.testing import tiny_backbone

pytestmark = [
    pytest.mark.tensors,
    pytest.mark.skipif(keras.config.backend() != "torch", reason="reads shapes alone"),
]


@pytest.mark.parametrize(
    ("build", "head", "output"),
    [
        (lambda backbone: backbone, [], "cells x tokens x 32"),
        (kg.GeneformerMaskedLM, ["masked-LM head"], "scores: cells x masks x 122"),
        (
            lambda backbone: kg.GeneformerCellClassifier(backbone, num_classes=3, head_layers=1),
            ["head block 0", "pooling", "pooler", "scores"],
            "scores: cells x 3",
        ),
        (
            lambda backbone: kg.GeneformerMultiTaskClassifier(
                backbone,
                {"disease": ["no", "yes", "both"], "sex": ["f", "m"]},
                pooling="mean",
                pooler=False,
            ),
            ["disease: pooling", "sex: pooling", "disease: scores", "sex: scores"],
            "disease: cells x 3; sex: cells x 2",
        ),
    ],
)
def test_parts_add_up_and_are_named(build, head, output, tmp_path):
    model = build(tiny_backbone())
    parts = model_parts(model)
    assert sum(part.parameters for part in parts) == model.count_params()
    assert [part.name for part in parts if part.group == "head"] == head
    attention = next(part for part in parts if part.name == "self-attention")
    assert (attention.parameters, attention.repeats) == (3 * 4 * (32 * 32 + 32), 3)
    axes = model_summary(model, tmp_path / "model.png")
    said = [text.get_text() for text in axes.texts]
    assert said[-1] == output
    assert "token ids: cells x tokens" in said
    assert (tmp_path / "model.png").read_bytes().startswith(b"\x89PNG")
    longest = max(part.parameters for part in parts)
    lengths = [part.parameters / longest for part in parts]
    rectangles = [patch for patch in axes.patches if type(patch).__name__ == "Rectangle"]
    widths = np.array([patch.get_width() for patch in rectangles])
    np.testing.assert_allclose(widths / widths.max(), lengths)


def test_blocks_that_differ_say_from_what_to_what():
    backbone = kg.GeneformerBackbone(
        vocabulary_size=30, num_layers=2, num_heads=[2, 1], hidden_dim=8, intermediate_dim=[16, 4],
        max_sequence_length=16, head_dim=4,
    )  # fmt: skip
    parts = {part.name: part for part in model_parts(backbone) if part.group == "blocks"}
    assert parts["self-attention"].detail == "1-2 heads of 4"
    assert parts["feed-forward"].detail == "8 to 4-16 to 8, relu"
    assert parts["feed-forward"].repeats == 1
    with pytest.raises(TypeError, match="Received a Sequential; expected a GeneformerBackbone or"):
        model_summary(keras.Sequential())
