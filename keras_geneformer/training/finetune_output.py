"""The directory that fine-tuning writes."""

import json
import os
from pathlib import Path
from typing import Any

from keras_geneformer.models.presets import is_preset, preset_vocabulary
from keras_geneformer.tokenization.publishing import publish_directory


def check_output(output: str | os.PathLike) -> None:
    """Refuse, before any work is done, a directory that could not be written at the end.

    Raises:
        FileExistsError: it holds something that is not a preset.
    """
    path = Path(output)
    if path.exists() and not (path.is_dir() and (is_preset(path) or not any(path.iterdir()))):
        raise FileExistsError(
            f"{path} exists and is not a preset, so it will not be replaced: choose another name, "
            "or remove it."
        )


def write_output(
    result: Any, output: str | os.PathLike, model_or_preset: Any, vocabulary: Any = None
) -> None:
    """Write the classifier's preset and its tables, all at once or not at all.

    Args:
        result: a `FinetuneResult`.
        output: the directory; an earlier preset there is replaced.
        model_or_preset: what was fine-tuned; where it is a preset, its vocabulary is kept.
        vocabulary: the vocabulary to keep instead.
    """
    if vocabulary is None and isinstance(model_or_preset, (str, os.PathLike)):
        vocabulary = preset_vocabulary(model_or_preset)
    with publish_directory(output, is_preset) as partial:
        result.model.save_to_preset(partial, vocabulary=vocabulary)
        result.history.to_csv(partial / "history.csv", index=False)
        result.predictions.to_csv(partial / "predictions.csv")
        result.confusion.to_csv(partial / "confusion.csv")
        (partial / "metrics.json").write_text(json.dumps(result.metrics, indent=2) + "\n")
