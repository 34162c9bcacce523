import keras
import pytest

from keras_geneformer.conversion.table import checkpoint_table
from keras_geneformer.models import sizes
from keras_geneformer.models.masked_lm import GeneformerMaskedLM

pytestmark = pytest.mark.tensors


@pytest.fixture(autouse=True)
def _without_values():
    """Models are built, but their variables hold no values: none of 1.3 GB is allocated."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.backend.clear_session()  # or Keras would give them values later


@pytest.mark.parametrize(
    ("size", "parameters", "special"),
    [
        ("v1_10m", 10_288_722, (0, 1)),
        ("v2_104m", 104_386_867, (0, 1, 2, 3)),
        ("v2_316m", 316_354_867, (0, 1, 2, 3)),
    ],
)
def test_parameters_of_the_masked_lm(size, parameters, special):
    model = GeneformerMaskedLM(getattr(sizes, size)())
    assert model.count_params() == parameters
    assert model.backbone.special_token_ids == special
    # The published checkpoint has a place for every variable.
    paths = [row.path for row in checkpoint_table(model.backbone.num_layers, "masked_lm")]
    assert sorted(paths) == sorted(variable.path for variable in model.weights)


def test_changes_are_arguments_of_the_backbone():
    backbone = sizes.v1_10m(num_layers=1, vocabulary_size=50, max_sequence_length=8, dropout=0.5)
    assert (backbone.num_layers, backbone.hidden_dim, backbone.dropout) == (1, 256, 0.5)


def test_no_such_size():
    with pytest.raises(
        ValueError,
        match=r"^Received size='v3'; expected one of v1_10m, v2_104m, v2_316m, v1_12l_30m, "
        r"v2_12l_95m, v2_20l_95m\.$",
    ):
        sizes.sized_backbone("v3")
