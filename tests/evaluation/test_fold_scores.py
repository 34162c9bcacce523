"""A fold of the network itself: once, on one backend, as fine-tuning is tested on all."""

import keras
import numpy as np

from keras_geneformer.evaluation.fold_scores import finetuned_predictions, scored_fold
from keras_geneformer.evaluation.labelled_cells import labelled_cells
from keras_geneformer.testing import CELL_TYPES, synthetic_dataset, tiny_backbone, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.training.metrics import classification_metrics


def test_a_fold_trains_on_its_training_cells_and_labels_the_others():
    keras.utils.set_random_seed(1)
    backbone = tiny_backbone(num_layers=1, initializer_range=0.1)
    before = backbone.get_weights()
    cells = synthetic_dataset(90)
    # Of one length and in full batches, so that one step is compiled.
    cells = CellDataset([cells[row][:40] for row in range(90)], cells.obs, tiny_vocabulary())
    chosen = labelled_cells(cells, "cell_type", "donor")
    fold = np.arange(70), np.arange(70, 90)
    settings = {"epochs": 4, "batch_size": 16, "learning_rate": 1e-2, "calibrate": False}

    def finetuned():
        return finetuned_predictions(
            backbone, chosen, "cell_type", fold, seed=0, progress=False, settings=settings
        )

    row, predictions = scored_fold("geneformer", 3, chosen, fold, finetuned)
    assert predictions["cell"].tolist() == [f"cell{number}" for number in range(70, 90)]
    assert list(predictions.filter(like="prob_")) == [f"prob_{name}" for name in CELL_TYPES]
    assert row["accuracy"] > 0.7
    assert classification_metrics(predictions["true"], predictions["label"]).items() <= row.items()
    assert (row["cells"], row["training_cells"], row["fold"]) == (20, 70, 3)
    assert row["held_out"] == "donor0, donor1, donor2, donor3"
    for old, new in zip(before, backbone.get_weights()):
        np.testing.assert_array_equal(old, new)
