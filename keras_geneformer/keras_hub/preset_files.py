"""Presets in keras_hub's format: telling them from ours, and writing them whole."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from keras_geneformer.tokenization.publishing import publish_directory

_FILES = {
    *("config.json", "metadata.json", "model.weights.h5", "model.weights.json"),
    *("task.json", "task.weights.h5", "preprocessor.json", "README.md"),
}

_writing: ContextVar[Path | None] = ContextVar("a preset being written", default=None)


def is_hub_preset(preset: str | os.PathLike[str]) -> bool:
    """Whether a preset is in keras_hub's format: a directory of its own, or on a hub of its own.

    Example:
        >>> is_hub_preset("geneformer_mini")
        False
    """
    if str(preset).startswith(("kaggle://", "modelscope://")):
        return True
    config = Path(preset) / "config.json"
    return config.is_file() and "registered_name" in json.loads(config.read_text())


@contextmanager
def whole_preset(directory: str | os.PathLike[str]) -> Iterator[str]:
    """A directory to write a preset into, which takes its name when all of it is there.

    keras_hub writes a task in several calls, each of which names the directory: within the first,
    the others write into the same.

    Args:
        directory: to write; an earlier preset of keras_hub's there is replaced.

    Yields:
        The path to write into.

    Raises:
        FileExistsError: the directory holds something else.
    """
    if _writing.get() == Path(directory):
        yield str(directory)
        return
    with publish_directory(directory, _is_replaceable) as partial:
        token = _writing.set(partial)
        try:
            yield str(partial)
        finally:
            _writing.reset(token)


def refuse_quantized(model: Any) -> None:
    """Raise a ValueError where a layer is quantized: keras_hub could not load it again."""
    for layer in model._flatten_layers():
        if layer.quantization_mode is not None:
            raise ValueError(
                f"{layer.path} is quantized ({layer.quantization_mode}), and keras_hub does not "
                "load such a preset again. Save the model before it is quantized, or save the "
                "model of keras_geneformer itself (`.geneformer.save_to_preset`)."
            )


def _is_replaceable(directory: Path) -> bool:
    names = {path.name for path in Path(directory).iterdir() if path.suffix != ".h5"}
    return is_hub_preset(directory) and names <= _FILES
