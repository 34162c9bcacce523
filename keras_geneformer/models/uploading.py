"""Presets of ours onto the Hugging Face hub."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_geneformer.hub import file_sha256
from keras_geneformer.hub_download import connection_errors
from keras_geneformer.hub_folder import split_address
from keras_geneformer.models.config_check import check_config
from keras_geneformer.models.preset_card import CARD_FILE, preset_card
from keras_geneformer.models.preset_format import (
    OWN_FILES,
    PRESET_FILE,
    WEIGHTS_FILE,
    is_preset,
    read_description,
)
from keras_geneformer.models.preset_source import preset_directory

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Upload:
    """What was, or would be, uploaded.

    Args:
        address: where the preset lies then.
        files: path in that folder, to bytes.
        left_out: names in the preset's directory that are none of a preset's.
        replaced: files of an earlier preset there that the new one has not, and that go.
        commit: the commit on the hub; None in a dry run.
    """

    address: str
    files: dict[str, int]
    left_out: tuple[str, ...]
    replaced: tuple[str, ...] = ()
    commit: str | None = None


def upload_preset(
    preset: str | os.PathLike[str],
    address: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    message: str | None = None,
    licence: str | None = None,
    base_model: str | None = None,
    dry_run: bool = False,
) -> Upload:
    """Upload a preset to the Hugging Face hub, in one commit.

    The repository is made where there is none. Only what a preset consists of goes up, after its
    checksum was verified; files of an earlier preset in that folder go. A preset without a model
    card (README.md) gets one, on the hub alone. `HF_TOKEN`, or the token of `hf auth login`, and
    `HF_ENDPOINT` are honoured.

    Args:
        preset: a preset of ours: its directory, its name, or a `.keras` file.
        address: `"hf://organisation/repository"`, or a folder in it:
            `"hf://organisation/repository/subfolder"`.
        private: whether a repository that is made is private; the hub's default where None.
        revision: the branch to commit to, made from the main one where there is none.
        message: of the commit.
        licence: for the card, its identifier on the hub, such as "apache-2.0".
        base_model: for the card, the hub's name of the model that it was trained on from.
        dry_run: say what would go up, and ask nothing of the hub.

    Returns:
        What went up, and the commit.

    Raises:
        FileNotFoundError: there is no such preset.
        ValueError: it is damaged or none of ours; the address is none; or `licence` or
            `base_model` is given for a preset that has a card.
        PermissionError: there is no token, or the hub does not let it write there.
        ConnectionError: the hub was not reached.

    Example:
        >>> upload = upload_preset("geneformer_mini", "hf://lab/mini", dry_run=True)
        >>> upload.files["model.weights.h5"]
        6684600
    """
    repo, subfolder = split_address(address)
    directory = preset_directory(preset)
    description = _checked_description(directory)
    files, left_out = _own_files(directory)
    if left_out:
        logger.warning("left out, being no part of a preset: %s", ", ".join(left_out))
    content: dict[str, Path | bytes] = dict(files)
    if CARD_FILE not in files:
        card = preset_card(description, address.rstrip("/"), licence, base_model)
        content[CARD_FILE] = card.encode()
    elif licence or base_model:
        raise ValueError(
            f"{directory} has a model card: write the licence and the base model into the front "
            f"matter of its {CARD_FILE}."
        )
    sizes = {name: _size(content[name]) for name in sorted(content)}
    if dry_run:
        return Upload(address, sizes, left_out)
    message = message or f"Upload {description['model']} with keras_geneformer"
    with _readable_errors(repo):
        commit, replaced = _send(repo, subfolder, content, private, revision, message)
    return Upload(address, sizes, left_out, replaced, commit)


def _checked_description(directory: Path) -> dict[str, Any]:
    if not is_preset(directory):
        raise ValueError(
            f"{directory} is no preset of keras_geneformer: it has no {PRESET_FILE}. Convert a "
            "published checkpoint first (keras_geneformer.convert_checkpoint)."
        )
    description = read_description(directory)
    check_config(description["model"], description["config"], directory / PRESET_FILE)
    weights = directory / WEIGHTS_FILE
    if not weights.is_file() or file_sha256(weights) != description["weights_sha256"]:
        raise ValueError(
            f"{weights} is missing, or is not the file that {PRESET_FILE} describes. Save or copy "
            "the preset again."
        )
    return description


def _own_files(directory: Path) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The files of a preset by their paths in it, and the names beside them that are none."""
    names = sorted(path.name for path in directory.iterdir())
    found = [p for name in names if name in OWN_FILES for p in _files_of(directory / name)]
    files = {path.relative_to(directory).as_posix(): path for path in found}
    return files, tuple(name for name in names if name not in OWN_FILES)


def _files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(inner for inner in path.rglob("*") if inner.is_file())


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _send(
    repo: str,
    subfolder: str,
    content: dict[str, Path | bytes],
    private: bool | None,
    revision: str | None,
    message: str,
) -> tuple[str, tuple[str, ...]]:
    """One commit with all of it; the commit, and the files of an earlier preset that went."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    token = get_token()
    if not token:
        raise PermissionError(
            "There is no token for the hub: set HF_TOKEN to one that may write, or run "
            "`hf auth login`"
        )
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)
    api.create_repo(repo, private=private, exist_ok=True)
    if revision is not None:
        api.create_branch(repo, branch=revision, exist_ok=True)
    there = api.list_repo_files(repo, revision=revision)
    inside = [path.removeprefix(subfolder) for path in there if path.startswith(subfolder)]
    replaced = tuple(
        path for path in inside if path.split("/")[0] in OWN_FILES and path not in content
    )
    operations = [
        CommitOperationAdd(
            path_in_repo=subfolder + name,
            path_or_fileobj=one if isinstance(one, bytes) else str(one),
        )
        for name, one in sorted(content.items())
    ]
    operations += [CommitOperationDelete(path_in_repo=subfolder + path) for path in replaced]
    with warnings.catch_warnings():
        # The vocabulary's tables are no data set.
        warnings.filterwarnings("ignore", message="It seems that you are about to commit a data")
        done = api.create_commit(repo, operations, commit_message=message, revision=revision)
    return done.oid, replaced


@contextmanager
def _readable_errors(repo: str) -> Iterator[None]:
    from huggingface_hub import errors

    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise ConnectionError(f"HF_HUB_OFFLINE is set: nothing was sent to {repo}") from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403, 404):
            raise PermissionError(
                f"The hub does not let this token write to {repo} ({status}). Use a token that may "
                "write there, or another organisation"
            ) from error
        raise ConnectionError(f"The hub refused {repo}: {error}") from error
    except connection_errors() as error:
        raise ConnectionError(f"The hub was not reached ({error}): nothing was changed") from error
