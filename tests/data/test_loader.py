import keras
import numpy as np
import pytest

from keras_geneformer.data.inference import compile_forward, inference_batches, run_batches
from keras_geneformer.data.loader import CellBatches
from keras_geneformer.data.masking import Masking
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.testing import tiny_backbone, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset

pytestmark = pytest.mark.tensors


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(0)
    lists = [rng.permutation(np.arange(2, 122))[: rng.integers(5, 120)] for _ in range(32)]
    return CellDataset(lists, vocabulary=tiny_vocabulary())


def test_a_batch_holds_its_cells(cells):
    batches = CellBatches(cells, batch_size=4, labels=np.arange(32), shuffle=True)
    seen = []
    for index in range(len(batches)):
        inputs, labels = batches[index]
        np.testing.assert_array_equal(labels, batches.rows(index))
        for row, ids, mask in zip(batches.rows(index), inputs["token_ids"], inputs["padding_mask"]):
            np.testing.assert_array_equal(ids[mask == 1], cells[row])
            assert not ids[mask == 0].any()
        seen += batches.rows(index).tolist()
    assert sorted(seen) == list(range(32))
    assert 0 < batches.padded_share < 0.25


def test_an_epoch_can_be_planned_again(cells):
    one, other = (CellBatches(cells, batch_size=4, shuffle=True, seed=1) for _ in range(2))
    first = [one.rows(index).tolist() for index in range(len(one))]
    one.on_epoch_end()
    second = [one.rows(index).tolist() for index in range(len(one))]
    other.set_epoch(1)
    assert second == [other.rows(index).tolist() for index in range(len(other))]
    assert first != second


def test_masks_go_with_the_cell_and_the_epoch(cells):
    masking = Masking(122, cells.special_tokens)
    shuffled = CellBatches(cells, batch_size=4, masking=masking, shuffle=True)
    ordered = CellBatches(cells, batch_size=9, masking=masking)

    def masked(batches):
        of_cell = {}
        for index in range(len(batches)):
            inputs, labels, weights = batches[index]
            assert labels.shape == weights.shape == inputs["mask_positions"].shape
            for row, ids in zip(batches.rows(index), inputs["token_ids"]):
                of_cell[row] = ids[: cells.lengths[row]].tolist()
        return of_cell

    first = masked(shuffled)
    assert first == masked(ordered)
    shuffled.on_epoch_end()
    assert first != masked(shuffled)


def test_keras_fits_and_predicts_on_batches_of_many_shapes(cells):
    classifier = GeneformerCellClassifier(tiny_backbone(num_layers=1), num_classes=2)
    labels = np.arange(32) % 2
    classifier.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    batches = CellBatches(cells, batch_size=8, labels=labels, shuffle=True, bucket_count=2)
    history = classifier.fit(batches, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert batches.epoch >= 2
    batches = CellBatches(cells, batch_size=8, bucket_count=2, workers=2)
    scores = classifier.predict(batches, verbose=0)
    rows = np.concatenate([batches.rows(index) for index in range(len(batches))])
    forward = compile_forward(classifier)
    ids = cells[rows[3]][None]
    alone = forward({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    np.testing.assert_allclose(scores[3], alone[0], atol=2e-5)


def test_keras_fits_a_masked_lm(cells):
    masked_lm = GeneformerMaskedLM(tiny_backbone(num_layers=1))
    masked_lm.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
    )
    masking = Masking(122, cells.special_tokens)
    batches = CellBatches(cells, batch_size=8, masking=masking, shuffle=True, bucket_count=2)
    loss = masked_lm.fit(batches, verbose=0).history["loss"][0]
    assert loss == pytest.approx(np.log(122), rel=0.1)


def test_results_come_back_in_the_order_of_the_cells(cells):
    forward = compile_forward(tiny_backbone(num_layers=1))
    states = {}
    for size in (1, 7):
        states[size] = np.empty((len(cells), 32), np.float32)
        for rows, inputs, hidden in run_batches(forward, inference_batches(cells, size)):
            assert hidden.shape[:2] == inputs["token_ids"].shape
            states[size][rows] = hidden[:, 0]
    np.testing.assert_allclose(states[1], states[7], atol=2e-5)


def test_new_weights_are_seen_after_compiling(cells):
    backbone = tiny_backbone(num_layers=1)
    forward = compile_forward(backbone)
    inputs = CellBatches(cells, batch_size=2)[0][0]
    before = forward(inputs)
    backbone.set_weights([weight + 0.1 for weight in backbone.get_weights()])
    assert np.abs(forward(inputs) - before).max() > 0.01


def test_refuses_what_does_not_fit(cells):
    with pytest.raises(ValueError, match=r"There are no cells to make batches of\."):
        CellBatches(CellDataset([]))
    with pytest.raises(ValueError, match=r"There are 3 labels for 32 cells\."):
        CellBatches(cells, labels=[0, 1, 0])
    message = r"Give labels \(for a classifier\) or masking \(for a masked LM\), not both\."
    with pytest.raises(ValueError, match=message):
        CellBatches(cells, labels=[0] * 32, masking=Masking(122, cells.special_tokens))
