"""The directory that fine-tuning writes."""

import json
import os
from typing import Any

from keras_geneformer.models.preset_format import is_replaceable
from keras_geneformer.models.presets import check_model_vocabulary, preset_vocabulary
from keras_geneformer.tokenization.publishing import check_destination, publish_directory
from keras_geneformer.training.finetuning.settings import FinetuneSettings


def check_output(output: str | os.PathLike, settings: FinetuneSettings) -> None:
    """Refuse, before any training, an output that could not be written after it.

    Raises:
        ValueError: adapters are to stay apart, which a preset cannot hold.
        FileExistsError: the directory holds something that is not a preset.
    """
    if settings.lora is not None and not settings.merge:
        raise ValueError(
            "Received output and merge=False: a preset holds no adapters. Leave merge as it is, or "
            "leave output out and write save_adapters(result.model, path)."
        )
    check_destination(output, is_replaceable)


def kept_vocabulary(model_or_preset: Any, vocabulary: Any, backbone: Any) -> Any:
    """The vocabulary to keep in the output: the one given, else the preset's; None without.

    Raises:
        ValueError: it is not the one the backbone's weights belong to.
    """
    if vocabulary is None and isinstance(model_or_preset, (str, os.PathLike)):
        vocabulary = preset_vocabulary(model_or_preset)
    if vocabulary is not None:
        check_model_vocabulary(backbone, vocabulary)
    return vocabulary


def write_output(result: Any, output: str | os.PathLike, vocabulary: Any = None) -> None:
    """Write the classifier's preset and its tables, all at once or not at all.

    Args:
        result: a `FinetuneResult`.
        output: the directory; an earlier preset there is replaced.
        vocabulary: the `GeneVocabulary` to keep in the preset.
    """
    with publish_directory(output, is_replaceable) as partial:
        result.model.save_to_preset(partial, vocabulary=vocabulary)
        result.history.to_csv(partial / "history.csv", index=False)
        tables = {
            "predictions": result.predictions,
            "confusion": result.confusion,
            "test_predictions": result.test_predictions,
            "parts": result.parts,
        }
        for name, table in tables.items():
            if len(table):
                table.to_csv(partial / f"{name}.csv")
        metrics = dict(result.metrics)
        metrics |= {f"test_{name}": value for name, value in result.test_metrics.items()}
        # What is not defined (R2 of one cell) is null: JSON has no NaN.
        metrics = {name: value if value == value else None for name, value in metrics.items()}
        (partial / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        (partial / "run.json").write_text(json.dumps(result.run, indent=2) + "\n")
