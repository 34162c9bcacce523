"""What each head and unit of a model is worth to it, on calibration cells."""

from typing import Any

import keras
import numpy as np

from keras_geneformer.compression.gates import GateImportance, gate_magnitudes, gates_of
from keras_geneformer.data.batch_source import BatchSource
from keras_geneformer.data.masking import Masking
from keras_geneformer.layers.pooling import CellPooling
from keras_geneformer.models.backbone_of import backbone_of
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.training.finetuning.batches import TargetBatches
from keras_geneformer.training.finetuning.finetuning_model import FinetuningModel, Objective
from keras_geneformer.training.finetuning.losses import cross_entropy
from keras_geneformer.training.loop import train
from keras_geneformer.training.pretraining import default_bucket_count
from keras_geneformer.training.pretraining_model import PretrainingModel

CRITERIA = ("loss", "embedding", "magnitude")
_SPECIAL = ("<pad>", "<mask>", "<cls>", "<eos>")


def gate_importance(
    model: Any,
    cells: Any = None,
    labels: np.ndarray | None = None,
    *,
    criterion: str = "loss",
    seed: int = 0,
    progress: bool = False,
) -> dict[str, np.ndarray]:
    """How much a model loses where each head, and each unit of its blocks, is taken out.

    The cells come one by one, and of each the absolute derivative by a gate on the head or unit is
    taken (`GateImportance`), without dropout.

    Args:
        model: a backbone or a model on one; it is not changed.
        cells: a `CellDataset`; a hundred or two are enough. Not for `"magnitude"`.
        labels: (cells,) class of each, for the loss of a cell classifier; what it predicts itself
            where None.
        criterion: `"loss"`, the cross-entropy of a masked LM at masked genes or of a cell
            classifier; `"embedding"`, the length of the derivative of the cell embedding of the
            last layer, for any model (its expectation over random directions, one a cell);
            `"magnitude"`, of the weights, without cells.
        seed: of masks and directions.
        progress: show a bar.

    Returns:
        (gates,) float by the path of the variable behind them (`head_path`, `unit_path`).

    Raises:
        ValueError: no such criterion, no cells, or a model that has no such loss.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> found = gate_importance(
        ...     tiny_backbone(num_layers=1), synthetic_dataset(6), criterion="embedding")
        >>> [len(scores) for scores in found.values()]
        [4, 64]
    """
    if criterion not in CRITERIA:
        raise ValueError(
            f"Received criterion={criterion!r}; expected one of {', '.join(map(repr, CRITERIA))}."
        )
    sizes = gate_magnitudes(model)
    if criterion == "magnitude":
        return sizes
    if cells is None or not len(cells):
        raise ValueError(
            f"Received criterion={criterion!r} without cells, on which it is measured: give some, "
            "or take 'magnitude'."
        )
    copy = _without_dropout(model)
    measured, batches = _measured(copy, cells, labels, criterion, seed)
    optimizer = GateImportance(gates_of(copy))
    jit = False if keras.config.backend() == "tensorflow" else "auto"
    measured.compile(optimizer=optimizer, jit_compile=jit)
    optimizer.build(measured.trainable_variables)
    train(measured, batches, len(batches), progress=progress, description="importance")
    # Blocks of a head that the measure does not see are judged by their weights.
    return sizes | optimizer.importance()


def _measured(
    model: Any, cells: Any, labels: np.ndarray | None, criterion: str, seed: int
) -> tuple[Any, Any]:
    """A model with the loss that gates are judged by, and batches of one cell each."""
    backbone = backbone_of(model)
    options = {
        "batch_size": 1,
        "bucket_count": default_bucket_count(),
        "max_length": backbone.max_sequence_length,
    }
    if criterion == "loss" and isinstance(model, GeneformerMaskedLM):
        special = cells.special_tokens or dict(zip(_SPECIAL, backbone.special_token_ids))
        masking = Masking(backbone.vocabulary_size, special, seed=seed)
        return PretrainingModel(model), BatchSource(cells, masking=masking, **options)
    objective: Objective = cross_entropy
    if criterion == "loss":
        if not isinstance(model, GeneformerCellClassifier) or model.task != "single-label":
            raise ValueError(
                f"Received criterion='loss' for a {type(model).__name__}, of which no loss is "
                "known here: give a masked LM or a classifier of cells into one class each, or "
                "take 'embedding'."
            )
        classes = _predicted(model, cells) if labels is None else labels
        targets = np.asarray(classes, dtype=np.int32)
        network = model.network()
    else:
        rng = np.random.default_rng(seed)
        targets = rng.choice([-1.0, 1.0], size=(len(cells), backbone.hidden_dim))
        targets = targets.astype(np.float32)
        network, objective = _embedding(backbone), _along

    def of_rows(rows: np.ndarray, token_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return targets[rows], np.ones(len(rows), dtype=np.float32)

    return FinetuningModel(network, objective), TargetBatches(cells, of_rows, **options)


def _embedding(backbone: Any) -> Any:
    """A model from a cell to its embedding of the last layer, the mean over its genes."""
    pooling = CellPooling("mean", backbone.special_token_ids, name="pooling")
    inputs = dict(backbone.input)
    pooled = pooling(backbone.output, inputs["token_ids"], inputs["padding_mask"])
    return keras.Model(inputs, pooled, name="cell_embedding")


def _along(directions, embeddings, weights):
    """How far embeddings go along some directions, in all."""
    directions = keras.ops.convert_to_tensor(directions)
    return keras.ops.sum(directions * keras.ops.cast(embeddings, "float32"))


def _predicted(classifier: Any, cells: Any) -> np.ndarray:
    from keras_geneformer.training.finetuning.held_out import CellReader

    reader = CellReader(classifier)
    return reader.scores(reader.features(cells)).argmax(axis=1)


def _without_dropout(model: Any) -> Any:
    """A copy that computes in training what it computes at inference."""
    config = model.get_config()
    part = config["backbone"]["config"] if "backbone" in config else config
    part["dropout"] = part["attention_dropout"] = 0.0
    if "head_dropout" in config:
        config["head_dropout"] = 0.0
    copy = type(model).from_config(config)
    copy.set_weights(model.get_weights())
    return copy
