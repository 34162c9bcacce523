import json

import numpy as np
import pandas as pd
import pytest

from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.models.presets import preset_vocabulary
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.training.distribution import Distribution
from keras_geneformer.training.recipes import continual, mini, run_recipe, running
from keras_geneformer.training.recipes.cells import cells_of_run, shortened
from keras_geneformer.training.recipes.prepared import prepare_run

pytestmark = pytest.mark.tensors

TINY = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 8, "max_length": 24}


def cells_of_one_length(count=20):
    """JAX compiles a step for each length."""
    cells = [ids[:30] for ids in synthetic_dataset(count)]
    return CellDataset(cells, vocabulary=tiny_vocabulary())


def test_a_run_leaves_a_preset_with_all_that_goes_with_it(tmp_path):
    output = tmp_path / "model"
    recipe = mini(**TINY, batch_size=9, dtype="mixed_bfloat16")
    result = run_recipe(
        recipe,
        cells_of_one_length(),
        output,
        epochs=2,
        seed=3,
        data="x.dataset",
        command="keras-geneformer pretrain ...",
        progress=False,
    )
    names = {path.name for path in output.iterdir()}
    assert {"preset.json", "vocabulary", "history.csv", "log.csv", "training.json"} <= names
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    history = pd.read_csv(output / "history.csv")
    assert history["step"].tolist() == [1, 2, 3, 4]
    assert history["validation_loss"].notna().tolist() == [False, True, False, True]
    np.testing.assert_allclose(pd.read_csv(output / "log.csv")["loss"], history["loss"])

    model = GeneformerMaskedLM.from_preset(output)
    assert model.backbone.dtype_policy.name == "float32"
    assert model.backbone.max_sequence_length == 24
    for one, other in zip(model.get_weights(), result.model.get_weights()):
        np.testing.assert_array_equal(one, other)
    vocabulary = preset_vocabulary(output)
    assert (vocabulary.checksum, vocabulary.max_length) == (tiny_vocabulary().checksum, 24)

    record = json.loads((output / "training.json").read_text())
    assert record["data"]["cells"] + record["data"]["held_out_cells"] == 20
    assert record["data"]["tokens"] == 18 * 24
    assert record["recipe"]["dtype"] == "mixed_bfloat16"
    assert record["recipe"]["epochs"] == 2
    assert record["metrics"]["validation"]["loss"] == pytest.approx(
        history["validation_loss"].iloc[-1]
    )
    card = (output / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: keras\n")
    assert "18 cells of `x.dataset`" in card


def test_goes_on_from_a_model_and_keeps_its_shape():
    backbone = tiny_backbone(num_layers=1, max_sequence_length=24)
    run = prepare_run(continual(validation=0.5), cells_of_one_length(), model=backbone)
    assert run.masked_lm(0).backbone is backbone
    assert (run.cells.lengths.max(), len(run.held)) == (24, 10)
    assert run.plan.parameters == run.model.count_params()
    settings = run.settings(backbone)
    assert (settings["num_layers"], settings["max_length"]) == (1, 24)
    assert settings["validation"] == 0.5
    own = prepare_run(
        continual(dtype="mixed_bfloat16"), run.cells, model=backbone, validation=run.held
    )
    settings = own.settings(backbone)
    assert (settings["dtype"], settings["validation"], len(own.held)) == ("float32", 0.0, 10)
    with pytest.raises(
        ValueError, match=r"^Received a vocabulary of 124 tokens for a model of 122\."
    ):
        prepare_run(continual(), synthetic_dataset(4, cls=True), model=backbone)


def test_the_seed_sets_the_weights_that_a_run_begins_with():
    run = prepare_run(mini(**TINY), cells_of_one_length())
    first, second, other = (run.masked_lm(seed).get_weights() for seed in (0, 0, 1))
    for one, again in zip(first, second):
        np.testing.assert_array_equal(one, again)
    assert not np.array_equal(first[0], other[0])


def test_the_plan_counts_rows_where_cells_are_packed():
    cells = cells_of_one_length()
    plan = prepare_run(mini(**TINY, batch_size=2, epochs=3, validation=0), cells).plan
    assert (plan.steps_per_epoch, plan.steps, plan.tokens, plan.padding) == (10, 30, 480, 0.0)
    packed = prepare_run(mini(**TINY, batch_size=2, packed=50, validation=0), cells).plan
    assert packed.steps_per_epoch == 5  # two cells of 24 in a row of 50, two rows a step
    assert packed.padding == pytest.approx(0.04)
    model = prepare_run(mini(**TINY), cells).masked_lm(0)
    assert plan.parameters == model.count_params()


class Stopped(Exception):
    """Instead of training."""


@pytest.fixture
def options_of_pretrain(tmp_path, monkeypatch):
    """What `run_recipe` would call `pretrain` with."""

    def pretrain(*arguments, **options):
        raise Stopped(options)

    def options(recipe, **arguments):
        with pytest.raises(Stopped) as stopped:
            run_recipe(recipe, cells_of_one_length(), tmp_path / "m", **arguments)
        return stopped.value.args[0]

    monkeypatch.setattr(running, "pretrain", pretrain)
    return options


@pytest.mark.parametrize(("devices", "parts"), [(1, 12), (8, 2), (12, 1), (16, 1)])
def test_devices_share_the_parts_of_a_step(options_of_pretrain, monkeypatch, devices, parts):
    monkeypatch.setattr(running, "connect", lambda name: Distribution(name, devices=devices))
    options = options_of_pretrain(mini(**TINY, accumulate=12), distribute="mirrored")
    assert options["accumulate"] == parts


def test_a_short_run_keeps_its_state_as_well(options_of_pretrain):
    every = [
        options_of_pretrain(mini(**TINY), **arguments)["checkpoint_every"]
        for arguments in [
            *({"steps": 9}, {"steps": 1_000}, {"steps": 100_000}, {"epochs": 500}),
            {"steps": 9, "checkpoint_every": 2},
        ]
    ]
    assert every == [25, 50, 1_000, 50, 2]  # 18 cells in two batches an epoch


def test_refusals(tmp_path):
    cells = cells_of_one_length(4)
    with pytest.raises(ValueError, match=r"^The recipe continual goes on from a pretrained model"):
        run_recipe(continual(), cells, tmp_path / "m")
    unknown = CellDataset([[2, 3, 4], [5, 6]])
    with pytest.raises(ValueError, match=r"^The cells carry no vocabulary, without which the pre"):
        run_recipe(mini(), unknown, tmp_path / "m")
    with pytest.raises(ValueError, match=r"^There are 1 cells: to hold some out \(validation=0\.1"):
        run_recipe(mini(), cells.subset([0]), tmp_path / "m")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds something else than what would replace it"):
        run_recipe(mini(), cells, tmp_path / "notes")


def test_a_warm_up_longer_than_the_run_is_shortened_and_it_is_said(caplog):
    recipe = mini(**TINY, warmup=10_000)
    run = prepare_run(recipe, cells_of_one_length(), steps=2)
    assert run.recipe == recipe.changed(warmup=0.1)
    said = (
        "the warm-up of 10,000 steps is no shorter than the run of 2: a tenth of the run is taken"
    )
    assert said in caplog.text
    share = prepare_run(mini(**TINY, warmup=1.0), cells_of_one_length(), steps=1)
    assert share.recipe.warmup == 1.0
    longer = prepare_run(recipe, cells_of_one_length(), steps=10_001)
    assert longer.recipe.warmup == 10_000


@pytest.mark.parametrize("cls", [False, True])
def test_long_cells_are_cut_to_their_first_genes(cls):
    cells = synthetic_dataset(30, cls=cls)
    longest = int(np.sort(cells.lengths)[15])
    cut = shortened(cells, longest)
    for one, other in zip(cells, cut):
        if len(one) <= longest:
            np.testing.assert_array_equal(one, other)
        elif cls:
            np.testing.assert_array_equal(other, [*one[: longest - 1], 3])
        else:
            np.testing.assert_array_equal(other, one[:longest])
    assert (cells.lengths > longest).any()
    assert (cut.max_length, cut.vocabulary.max_length) == (longest, longest)
    assert cut.vocabulary_checksum == cells.vocabulary_checksum
    assert cut.obs.equals(cells.obs)
    assert shortened(cells, 1000) is cells


def test_the_share_held_out_is_of_the_same_cells_for_a_seed():
    cells = synthetic_dataset(30)
    (train, held), (_, again) = cells_of_run(cells, 128, 0.2, 5), cells_of_run(cells, 128, 0.2, 5)
    assert (len(train), len(held)) == (24, 6)
    assert held.obs.index.equals(again.obs.index)
    assert not set(held.obs.index) & set(train.obs.index)
    assert cells_of_run(cells, 128)[1] is None
