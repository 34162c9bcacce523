import dataclasses
import inspect

import pytest

from keras_geneformer.cli import pretraining as command
from keras_geneformer.models.sizes import SIZES
from keras_geneformer.training import recipes
from keras_geneformer.training.pretraining import pretrain
from keras_geneformer.training.recipes.plan import parameter_count

pytestmark = pytest.mark.tensors


def test_the_published_run_of_v1():
    recipe = recipes.v1_10m()
    assert (recipe.learning_rate, recipe.decay, recipe.warmup) == (1e-3, "linear", 10_000)
    assert (recipe.weight_decay, recipe.clip_norm, recipe.epochs) == (0.001, 1.0, 3)
    assert (recipe.batch_size, recipe.accumulate) == (12 * 12, 12)
    assert recipe.dtype == "float32"


def test_the_published_run_of_v2():
    recipe = recipes.v2_104m()
    assert (recipe.learning_rate, recipe.decay, recipe.warmup) == (2e-4, "cosine", 0.007)
    assert (recipe.batch_size, recipe.max_length) == (18, 4096)
    assert (recipe.dtype, recipe.recompute) == ("mixed_bfloat16", True)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("v1_10m", 10_288_722), ("v2_104m", 104_386_867), ("v2_316m", 316_354_867)],
)
def test_shapes_are_the_published_sizes(name, parameters):
    recipe = recipes.named_recipe(name)
    shape = {"max_sequence_length" if k == "max_length" else k: v for k, v in recipe.shape.items()}
    assert shape.items() <= SIZES[name].items()
    assert parameter_count(recipe, SIZES[name]["vocabulary_size"]) == parameters


def test_every_recipe_says_its_command_cost_and_result_and_sets_what_pretrain_takes():
    taken = inspect.signature(pretrain).parameters
    for name, function in recipes.RECIPES.items():
        recipe = function()
        assert recipe.name == name
        words = inspect.getdoc(function)
        assert f"keras-geneformer pretrain --recipe {name} " in words
        assert "\nCost: " in words
        assert "\nExpected result: " in words
        assert recipe.training.keys() <= taken.keys()
    assert recipes.continual().needs_model
    assert not recipes.mini().needs_model
    assert tuple(recipes.RECIPES) == command.RECIPES


def test_changes():
    recipe = recipes.mini(epochs=2, learning_rate=None)
    assert (recipe.epochs, recipe.learning_rate) == (2, recipes.mini().learning_rate)
    assert recipe.changed(max_tokens=4096).batch_size is None
    assert recipe.changed(max_tokens=4096).changed(batch_size=3).max_tokens is None
    published = recipes.v1_10m()
    parts = [published.changed(batch_size=cells).accumulate for cells in (12, 30, 144, 288)]
    assert parts == [1, 3, 12, 24]
    assert recipes.mini(batch_size=64).accumulate == 1
    assert recipes.v2_316m(batch_size=144).accumulate == 16  # on eight devices, two each
    assert published.changed(batch_size=12, accumulate=2).accumulate == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.epochs = 3
    with pytest.raises(ValueError, match=r"^A recipe has no rate; it has accumulate, batch_size, "):
        recipe.changed(rate=1)
    with pytest.raises(
        ValueError, match=r"^A step of batch_size=2 cannot be taken in accumulate=3"
    ):
        recipe.changed(batch_size=2, accumulate=3)
    with pytest.raises(
        ValueError, match=r"^Received hidden_dim=15 and num_heads=4; the heads must"
    ):
        recipe.changed(hidden_dim=15)
    with pytest.raises(ValueError, match=r"^Received accumulate=0; expected 1 or more\.$"):
        recipe.changed(accumulate=0)
    with pytest.raises(ValueError, match=r"^Received learning_rate=nan; expected more than 0\.$"):
        recipe.changed(learning_rate=float("nan"))
    with pytest.raises(ValueError, match=r"^Give batch_size or max_tokens, not both\.$"):
        recipe.changed(batch_size=1, max_tokens=2)


def test_an_unknown_recipe():
    message = (
        "^Received recipe='v3'; expected one of mini, v1_10m, v2_104m, v2_316m, continual, "
        r"cell_sentences\.$"
    )
    with pytest.raises(ValueError, match=message):
        recipes.named_recipe("v3")
