"""What a preset is on disk: its files, and its description (docs/preset-format.md)."""

import json
from pathlib import Path

from keras_geneformer.models.calibration import CALIBRATION_FILE

PRESET_FILE = "preset.json"
WEIGHTS_FILE = "model.weights.h5"
VOCABULARY_DIRECTORY = "vocabulary"
GRAPHS_DIRECTORY = "openvino"
OWN_FILES = {PRESET_FILE, WEIGHTS_FILE, VOCABULARY_DIRECTORY, CALIBRATION_FILE} | {
    GRAPHS_DIRECTORY,
    *("history.csv", "predictions.csv", "confusion.csv", "metrics.json"),
    *("loss.png", "confusion.png", "log.csv", "tensorboard", "training.json", "README.md"),
    *("genes.csv", "folds.csv", "genome.csv", "summary.json", "gene_list.txt", "report.html"),
    *("roc.png", "auc.png", "gene_scores.png"),
    *("class_recall.png", "confusion_normalised.png", "precision_recall.png", "reliability.png"),
    *("learning.png", "truth_and_prediction.png", "values.png", "parts.csv"),
    *("metrics.csv", "test_metrics.csv", "test_predictions.csv", "confusions", "run.json"),
}
"""What saving and the training recipes write; a directory with anything else is not replaced."""
FORMAT = 1
QUANTIZED_FORMAT = 2
"""Of presets with an entry `quantization`, which readers of format 1 alone would not understand."""
DESCRIPTION_KEYS = {"config", "weights_sha256", "vocabulary", "vocabulary_checksum"}
"""What preset.json holds besides its format and the class of the model."""
MODELS = (
    "GeneformerBackbone",
    "GeneformerMaskedLM",
    "GeneformerCellClassifier",
    "GeneformerGeneClassifier",
    "GeneformerMultiTaskClassifier",
)
"""Classes of model that a preset may hold."""


def read_description(directory):
    """The content of a preset's preset.json, checked."""
    path = Path(directory) / PRESET_FILE
    try:
        description = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Copy the preset again.") from error
    if not isinstance(description, dict):
        raise ValueError(
            f"{path} holds a {type(description).__name__}; expected a JSON object. Copy the preset "
            "again."
        )
    expected = QUANTIZED_FORMAT if "quantization" in description else FORMAT
    if description.get("format") != expected or description.get("model") not in MODELS:
        raise ValueError(
            f"{path}: received format {description.get('format')!r} and model "
            f"{description.get('model')!r}; expected format {expected} and one of "
            f"{', '.join(MODELS)}. It may come from a newer keras_geneformer: upgrade."
        )
    missing = sorted(DESCRIPTION_KEYS - description.keys())
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}. Copy the preset again.")
    return description


def is_replaceable(directory):
    """Whether a directory is a preset that holds nothing but what this package writes."""
    return is_preset(directory) and {path.name for path in Path(directory).iterdir()} <= OWN_FILES


def is_preset(directory):
    """Whether a directory is a preset of ours."""
    return (Path(directory) / PRESET_FILE).is_file()
