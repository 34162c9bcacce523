"""Reads a `.keras` file as a preset, without what Keras would build of a file it trusts."""

import atexit
import json
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any

from keras_geneformer.hub import file_sha256
from keras_geneformer.models.config_check import backbone_config
from keras_geneformer.models.preset_format import (
    FORMAT,
    MODELS,
    PRESET_FILE,
    WEIGHTS_FILE,
)

KERAS_SUFFIX = ".keras"
_CONFIG = "config.json"
_MEMBERS = {_CONFIG, "metadata.json", WEIGHTS_FILE}
_MOST_JSON = 32 * 2**20
_MOST_EXPANSION = 20
_ENCRYPTED = 1
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PACKAGE = "keras_geneformer"


def unpacked_archive(path: str | os.PathLike[str]) -> Path:
    """A preset's directory with what a `.keras` file holds, until this process ends.

    Only `config.json` and `model.weights.h5` are taken; how the model was compiled, and its
    optimizer's state, are not.

    Args:
        path: a file that `model.save("x.keras")` wrote, of a model of ours.

    Returns:
        The directory: unpacked once while the file stays as it is.

    Raises:
        ValueError: the file is no such archive, holds other files, would unpack to far more than
            it holds, or describes a model that is none of ours.

    Example:
        >>> import tempfile
        >>> from keras_geneformer.testing import tiny_backbone
        >>> path = Path(tempfile.mkdtemp()) / "tiny.keras"
        >>> tiny_backbone().save(path)
        >>> sorted(file.name for file in unpacked_archive(path).iterdir())
        ['model.weights.h5', 'preset.json']
    """
    found = os.stat(path)
    return _unpacked(os.path.realpath(path), found.st_size, found.st_mtime_ns)


@cache
def _unpacked(path: str, size: int, modified: int) -> Path:
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path)
            description = _description(archive, path)
            directory = Path(tempfile.mkdtemp(prefix="keras_geneformer-"))
            atexit.register(shutil.rmtree, directory, ignore_errors=True)
            weights = directory / WEIGHTS_FILE
            with archive.open(WEIGHTS_FILE) as source, weights.open("wb") as target:
                shutil.copyfileobj(source, target, 2**20)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(
            f"{path} cannot be read as a file of Keras ({error}). It is truncated, or no such "
            "file: copy or download it again."
        ) from error
    description["weights_sha256"] = file_sha256(weights)
    (directory / PRESET_FILE).write_text(json.dumps(description, indent=2) + "\n")
    return directory


def _check_members(archive: zipfile.ZipFile, path: str) -> None:
    """Refuse members of other names, links, doubles, and those that unpack to far more."""
    members = archive.infolist()
    names = [member.filename for member in members]
    odd = sorted({name for name in names if name not in _MEMBERS})
    if odd or len(names) != len(set(names)) or not {_CONFIG, WEIGHTS_FILE} <= set(names):
        raise ValueError(
            f"{path} holds {', '.join(map(repr, sorted(names))) or 'nothing'}; expected "
            f"{', '.join(sorted(_MEMBERS))}, as a model of keras_geneformer writes, once each. "
            "Nothing was unpacked."
        )
    for member in members:
        plain = member.compress_type in _COMPRESSIONS and not member.flag_bits & _ENCRYPTED
        if stat.S_ISLNK(member.external_attr >> 16) or not plain:
            raise ValueError(
                f"{path} holds {member.filename} as a link, encrypted or compressed in another way "
                "than Keras does; expected a file. Nothing was unpacked."
            )
        most = _MOST_EXPANSION * member.compress_size
        if member.filename != WEIGHTS_FILE:
            most = min(max(most, 4096), _MOST_JSON)
        if member.file_size > most:
            raise ValueError(
                f"{path} holds {member.filename} of {member.file_size:,} bytes in "
                f"{member.compress_size:,}; expected at most {most:,}. Nothing was unpacked: it is "
                "made to fill the disk."
            )


def _description(archive: zipfile.ZipFile, path: str) -> dict[str, Any]:
    """What preset.json would say of the model."""
    try:
        config = json.loads(archive.read(_CONFIG))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{_CONFIG} of {path} is not valid JSON ({error}).") from error
    name = config.get("class_name") if isinstance(config, dict) else None
    if name not in MODELS or config.get("registered_name") != f"{_PACKAGE}>{name}":
        raise ValueError(
            f"{path} holds a {name!r}; expected a model of keras_geneformer: one of "
            f"{', '.join(MODELS)}. Read other models with keras.saving.load_model, if you trust "
            "where they come from."
        )
    backbone = backbone_config(name, config.get("config"), path)
    return {
        "format": FORMAT,
        "model": name,
        "config": config["config"],
        "vocabulary": False,
        "vocabulary_checksum": backbone.get("vocabulary_checksum"),
    }
