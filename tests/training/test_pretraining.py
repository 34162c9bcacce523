import re

import keras
import numpy as np
import pytest

from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.training.pretraining import pretrain

pytestmark = pytest.mark.tensors


@pytest.fixture(scope="module")
def result():
    keras.utils.set_random_seed(1)
    cells = synthetic_dataset(96)
    backbone = tiny_backbone(num_layers=1, initializer_range=0.1, vocabulary_checksum=None)
    return pretrain(
        backbone,
        cells.subset(range(80)),
        epochs=8,
        batch_size=20,
        learning_rate=2e-2,
        validation=cells.subset(range(80, 96)),
        progress=False,
    )


def test_the_loss_falls_on_cells_not_trained_on(result):
    losses = result.history["validation_loss"].dropna().to_numpy()
    assert losses[-1] < losses[0] - 0.1
    assert losses[-1] < np.log(122) - 0.1


def test_the_history_has_a_row_a_step(result):
    history = result.history
    assert history["step"].tolist() == list(range(1, 33))
    assert history["epoch"].tolist() == sorted(list(range(1, 9)) * 4)
    assert history[["loss", "accuracy", "learning_rate"]].notna().all(axis=None)
    assert history["learning_rate"].max() == pytest.approx(2e-2, rel=0.1)
    assert np.flatnonzero(history["validation_loss"].notna()).tolist() == list(range(3, 32, 4))


def test_the_model_remembers_the_vocabulary_it_was_trained_with(result):
    assert result.model.vocabulary_checksum == synthetic_dataset(1).vocabulary_checksum


def test_the_same_seed_gives_the_same_losses():
    cells = synthetic_dataset(24)

    def losses(seed):
        keras.utils.set_random_seed(5)
        model = GeneformerMaskedLM(tiny_backbone(num_layers=1))
        run = pretrain(model, cells, steps=2, batch_size=24, seed=seed, progress=False)
        return run.history["loss"].to_numpy()

    first = losses(0)
    np.testing.assert_allclose(losses(0), first, rtol=1e-6)
    assert not np.allclose(losses(1), first, rtol=1e-6)


def test_refuses_a_broken_loss():
    backbone = tiny_backbone(num_layers=1)
    backbone.set_weights([weight * np.nan for weight in backbone.get_weights()])
    message = (
        r"The loss became nan at step 1: lower the learning rate \(it was 0\.001\)\. The batch "
        r"held the cells 'cell\d+', 'cell\d+', 'cell\d+'"
    )
    with pytest.raises(FloatingPointError, match=message):
        pretrain(backbone, synthetic_dataset(12), warmup=0.0, progress=False)


def test_refuses_other_cells_and_other_models():
    message = "with a vocabulary of 124 token ids, and the model has 122"
    with pytest.raises(ValueError, match=message):
        pretrain(tiny_backbone(vocabulary_checksum=None), synthetic_dataset(2, cls=True))
    with pytest.raises(ValueError, match=r"There are no cells in the dataset\."):
        pretrain(tiny_backbone(), CellDataset([]))
    message = "Received a str to pretrain; expected a GeneformerMaskedLM or a GeneformerBackbone"
    with pytest.raises(ValueError, match=message):
        pretrain("preset", synthetic_dataset(2))
    with pytest.raises(ValueError, match=r"Nothing to train: epochs=0, steps=None; expected 1"):
        pretrain(tiny_backbone(), synthetic_dataset(2), epochs=0)


def test_the_bar_counts_real_tokens(capsys):
    pretrain(tiny_backbone(), synthetic_dataset(24), batch_size=12, progress=True)
    shown = capsys.readouterr().err
    assert re.search(r"loss=\d\.\d{3}, accuracy=\d+\.\d%, tokens/s=[\d,]+, padding=\d+%", shown)


def test_refuses_options_that_would_do_nothing():
    with pytest.raises(ValueError, match=r"^Received accumulate=0; expected 1 or more micro-batch"):
        pretrain(tiny_backbone(), synthetic_dataset(2), accumulate=0)
    with pytest.raises(ValueError, match=r"^tensorboard=True without log: give log the directory "):
        pretrain(tiny_backbone(), synthetic_dataset(2), tensorboard=True)


def test_warmup_of_1_is_one_step():
    model = tiny_backbone(num_layers=1)
    options = {"steps": 3, "batch_size": 8, "decay": "constant", "progress": False}
    run = pretrain(model, synthetic_dataset(8), warmup=1, **options)
    np.testing.assert_allclose(run.history["learning_rate"], [0.0, 1e-3, 1e-3], rtol=1e-6)


def test_validation_without_a_masked_gene_is_no_number():
    two = CellDataset([np.array([4, 5])], vocabulary=tiny_vocabulary())
    options = {"steps": 1, "published": True, "progress": False}
    run = pretrain(tiny_backbone(num_layers=1), synthetic_dataset(8), validation=two, **options)
    assert run.history.filter(like="validation").isna().all(axis=None)
