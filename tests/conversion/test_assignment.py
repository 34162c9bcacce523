import re

import numpy as np
import pytest

from keras_geneformer.conversion.assignment import assign_checkpoint, export_checkpoint
from keras_geneformer.conversion.table import checkpoint_table

ROWS = checkpoint_table(1, "masked_lm")
WORDS = "bert.embeddings.word_embeddings.weight"
QUERY = "bert.encoder.layer.0.attention.self.query.weight"
SIZE, WIDTH = 11, 4


class Variable:
    """What the table needs of a Keras variable."""

    def __init__(self, path, shape):
        self.path, self.shape = path, shape
        self.value = np.zeros(shape, "float32")

    def assign(self, value):
        self.value = np.array(value)


@pytest.fixture
def tensors():
    rng = np.random.default_rng(0)

    def shape(row):
        if "intermediate/kernel" in row.path:
            return (2 * WIDTH, WIDTH)
        if "encoder_block_0/output_projection/kernel" in row.path:
            return (WIDTH, 2 * WIDTH)
        if row.transposed:
            return (WIDTH, WIDTH)
        if row.key == WORDS:
            return (SIZE, WIDTH)
        return (SIZE,) if row.key == "cls.predictions.bias" else (WIDTH,)

    return {row.key: rng.normal(size=shape(row)).astype("float32") for row in ROWS}


@pytest.fixture
def variables(tensors):
    return [
        Variable(row.path, tensors[row.key].shape[:: -1 if row.transposed else 1]) for row in ROWS
    ]


def refused(tensors, variables, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        assign_checkpoint(tensors, variables, ROWS)
    assert not any(variable.value.any() for variable in variables)


def test_there_and_back_bit_for_bit(tensors, variables):
    assign_checkpoint(tensors, variables, ROWS)
    by_path = {variable.path: variable.value for variable in variables}
    np.testing.assert_array_equal(
        by_path["encoder_block_0/attention/query/kernel"], tensors[QUERY].T
    )
    np.testing.assert_array_equal(by_path["embeddings/token_embedding/embeddings"], tensors[WORDS])
    exported = export_checkpoint(variables, ROWS)
    assert list(exported) == [row.key for row in ROWS]
    for key, value in tensors.items():
        assert exported[key].flags.c_contiguous
        assert exported[key].tobytes() == value.tobytes()


def test_copies_and_buffers_are_left_out(tensors, variables):
    given = tensors | {
        "bert.embeddings.position_ids": np.arange(8)[None],
        "cls.predictions.decoder.weight": tensors[WORDS],
        "cls.predictions.decoder.bias": tensors["cls.predictions.bias"],
    }
    assign_checkpoint(given, variables, ROWS)
    assert len(given) == len(tensors) + 3
    for key, value in export_checkpoint(variables, ROWS).items():
        np.testing.assert_array_equal(value, tensors[key])


@pytest.mark.parametrize("change", [1, np.zeros((2, 1, 1), "float32")])
def test_untied_decoder(tensors, variables, change):
    given = tensors | {"cls.predictions.decoder.weight": tensors[WORDS] + change}
    message = (
        f"The checkpoint's cls.predictions.decoder.weight differs from {WORDS}; Geneformer ties "
        "them. This model was trained untied and cannot be loaded."
    )
    refused(given, variables, message)


def test_missing_and_leftover_keys(tensors, variables):
    without = {key: value for key, value in tensors.items() if key != QUERY}
    expected = "Expected exactly the 26 keys of the architecture that config.json names."
    start = "The checkpoint does not fit the model: keys"
    refused(without, variables, f"{start} missing: {QUERY}; keys unknown: none. {expected}")
    more = tensors | {"bert.pooler.dense.bias": np.zeros(WIDTH)}
    refused(
        more, variables, f"{start} missing: none; keys unknown: bert.pooler.dense.bias. {expected}"
    )
    many = tensors | {f"extra.{index}": np.zeros(1) for index in range(6)}
    refused(
        many,
        variables,
        f"{start} missing: none; keys unknown: extra.0, extra.1, extra.2, extra.3 and 2 more. "
        f"{expected}",
    )


def test_wrong_shapes(tensors, variables):
    key = "bert.encoder.layer.0.intermediate.dense.weight"
    refused(
        tensors | {key: np.ones((3, WIDTH), "float32")},
        variables,
        f"The checkpoint's {key} has shape (3, 4); the model's encoder_block_0/intermediate/kernel "
        "expects (8, 4). The weights do not belong to this config.json.",
    )
    # The last row fails: the first must not have been assigned.
    key = ROWS[-1].key
    refused(
        tensors | {key: np.ones(3, "float32")},
        variables,
        f"The checkpoint's {key} has shape (3,); the model's masked_lm_head/bias expects (11,). "
        "The weights do not belong to this config.json.",
    )


def test_a_variable_the_table_does_not_know(tensors, variables):
    variables.append(Variable("head_block_0/bias", (2,)))
    message = "variables missing: none; variables unknown: head_block_0/bias. Expected exactly the"
    with pytest.raises(ValueError, match=message):
        assign_checkpoint(tensors, variables, ROWS)
    with pytest.raises(ValueError, match=message):
        export_checkpoint(variables, ROWS)


def test_rounded_weights(tensors, variables):
    message = (
        f"The checkpoint's {WORDS} has dtype int8; expected floats. It may be quantized: take the "
        "checkpoint that it was made from."
    )
    refused(tensors | {WORDS: tensors[WORDS].astype("int8")}, variables, message)
