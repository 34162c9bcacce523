"""Heads and widths of blocks."""

import re

import pytest

from keras_geneformer.testing import tiny_backbone


def test_models_that_lost_nothing_are_written_as_before():
    config = tiny_backbone().get_config()
    assert (config["num_heads"], config["intermediate_dim"]) == (4, 64)
    assert "head_dim" not in config


def test_equal_numbers_are_one_number():
    backbone = tiny_backbone(num_heads=[3, 3, 3], head_dim=8, intermediate_dim=[9, 9, 9])
    config = backbone.get_config()
    assert (config["num_heads"], config["intermediate_dim"], config["head_dim"]) == (3, 9, 8)
    assert (backbone.block_heads, backbone.block_intermediate_dims) == ((3, 3, 3), (9, 9, 9))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"num_heads": [4, 4]},
            "Received num_heads=[4, 4] for 3 encoder blocks; expected one number for all of them, "
            "or one a block.",
        ),
        (
            {"num_heads": [4, 2, 4]},
            "Received num_heads=[4, 2, 4] without head_dim. Where blocks differ in heads, give the "
            "width of a head.",
        ),
        (
            {"num_heads": 3},
            "Received a hidden width of 32 and 3 attention heads; the heads must divide the width.",
        ),
        (
            {"intermediate_dim": [4, 0, 4]},
            "Received intermediate_dim=[4, 0, 4]; expected whole numbers of at least 1.",
        ),
        ({"num_heads": 2.0}, "Received num_heads=2.0; expected whole numbers of at least 1."),
        ({"head_dim": 0}, "Received head_dim=0; expected a whole number of at least 1, or None."),
        ({"num_layers": 0}, "Received num_layers=0; expected at least 1 encoder block."),
    ],
)
def test_shapes_that_leave_a_block_open_are_refused(changed, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tiny_backbone(**changed)
