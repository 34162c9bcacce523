"""Which run effects on disk are of, and whether another may go on with them."""

import json
import os
from pathlib import Path
from typing import IO, Any

from keras_geneformer.analysis.perturbation.effect_reading import effects_metadata

_OF_THE_FILE = ("states", "vocabulary_checksum", "model_checksum", "cells_checksum", "shard")


def about_run(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as the metadata of the file hold them, plain values as json gives them back."""
    about: dict[str, Any] = {name: settings.get(name) for name in _OF_THE_FILE}
    about["settings"] = {k: value for k, value in settings.items() if k not in _OF_THE_FILE}
    return json.loads(json.dumps(about, default=_plain))


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


_GO_ON = "Give what it was begun with, choose another output, or begin again with resume=False"


def check_output(output: Path, about: dict[str, Any] | None, remedy: str = _GO_ON) -> bool:
    """Whether the output is there already; refuses to replace what is not ours.

    Args:
        output: the file.
        about: of the run; None: a file of effects may be replaced, whatever run it is of.
        remedy: what to do about a file of another run.
    """
    if not output.exists():
        return False
    try:
        found = effects_metadata(output)
    except (ValueError, FileNotFoundError):
        found = {}
    if "settings" not in found:
        raise FileExistsError(
            f"{output} exists and holds no effects that perturb wrote; it is left as it is. Choose "
            "another output or remove it yourself"
        )
    if about is None:
        return False
    check_same(found, about, output, remedy)
    return bool(found.get("complete"))


def check_same(
    found: dict[str, Any], expected: dict[str, Any], where: Path, remedy: str = _GO_ON
) -> None:
    """Refuse to go on with a run of something else, name what differs, and say what to do."""
    there, here = (
        {name: about.get(name) for name in _OF_THE_FILE} | about.get("settings", {})
        for about in (found, expected)
    )
    differing = [
        f"{name} (there {_short(there.get(name))}, here {_short(here.get(name))})"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]
    if differing:
        raise ValueError(
            f"{where} is of a run with other settings: {', '.join(differing)}. {remedy}"
        )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def locked(path: Path, output: Path) -> IO[str]:
    """A lock that the system drops with the process that holds it."""
    file = path.open("w")
    try:
        import fcntl
    except ImportError:  # Windows: two writers at once are not noticed there
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who held it before may have finished, and removed it with the parts.
        held = path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except BlockingIOError:
        held = False
    if not held:
        file.close()
        raise BlockingIOError(
            f"{output} is being written by another process: wait for it, or choose another output"
        )
    return file
