import keras
import numpy as np
import pytest

from keras_geneformer.layers.embeddings import GeneEmbeddings

pytestmark = pytest.mark.tensors

TOKENS = np.array([[5, 7, 2, 0], [9, 9, 1, 5]], "int32")


@pytest.fixture(scope="module")
def layer():
    keras.utils.set_random_seed(2)
    layer = GeneEmbeddings(
        12, hidden_dim=6, max_sequence_length=4, dropout=0.5, initializer_range=1.0
    )
    layer.build((None, None))
    return layer


def test_gene_rank_and_first_segment_are_added_then_normalised(layer):
    genes, ranks, segments = (
        keras.ops.convert_to_numpy(table)
        for table in (layer.token_embedding.embeddings, layer.position_table, layer.segment_table)
    )
    assert segments.shape == (2, 6)
    total = genes[TOKENS] + ranks[:4] + segments[0]
    centred = total - total.mean(-1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    received = keras.ops.convert_to_numpy(layer(TOKENS))
    np.testing.assert_allclose(received, expected, atol=2e-5)


def test_dropout_only_while_training(layer):
    trained = keras.ops.convert_to_numpy(layer(TOKENS, training=True))
    assert 0 < (trained == 0).mean() < 1
    assert (keras.ops.convert_to_numpy(layer(TOKENS)) != 0).all()


def test_too_long_a_cell_is_refused(layer):
    message = (
        r"^Received sequences of 5 tokens; this model has 4 positions\. Truncate the cells to 4 "
        r"tokens, or tokenize them with the model's vocabulary\.$"
    )
    with pytest.raises(ValueError, match=message):
        layer.call(keras.ops.ones((1, 5), dtype="int32"))


def test_rebuilt_from_its_configuration(layer):
    again = GeneEmbeddings.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
