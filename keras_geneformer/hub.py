"""Fetches one file of a repository on the Hugging Face hub, with its cache."""

import hashlib
import logging
import os
from functools import lru_cache
from pathlib import Path

from keras_geneformer.hub_download import connection_errors, download_large
from keras_geneformer.hub_names import check_file_name
from keras_geneformer.published_presets import PinnedFile

logger = logging.getLogger(__name__)

PUBLISHED_REPO = "ctheodoris/Geneformer"
PUBLISHED_REVISION = "05fcbeb8a27d49e0a7a4349152202ee2c1cbfd28"


def fetch(
    filename: str,
    *,
    repo: str = PUBLISHED_REPO,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    expected: PinnedFile | None = None,
    cached_only: bool = False,
) -> Path:
    """Fetch one file from the Hugging Face hub, or find it in the hub's cache.

    The sha256 of the file is logged (logger `keras_geneformer.hub`, level INFO). The variables
    `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `HF_HOME` and `HF_TOKEN` of `huggingface_hub` are honoured. A
    large file whose download was broken off is gone on with where it broke.

    Args:
        filename: the file's path in the repository, e.g. "geneformer/token_dictionary_gc104M.pkl".
        repo: "owner/name" of a model repository.
        revision: a commit, branch or tag. Default for the published Geneformer repository:
            the commit `PUBLISHED_REVISION`; for any other: "main".
        cache_dir: the cache folder. Default: the one of `huggingface_hub`.
        expected: what the file must hold, where that is known beforehand.
        cached_only: look into the cache alone.

    Returns:
        The path of the file in the cache. It is not to be changed.

    Raises:
        FileNotFoundError: the hub has no such repository, revision or file.
        ConnectionError: the hub was not reached, or the connection broke, and the cache has no
            such file.
        ValueError: the file is not the expected one, or its name leads out of the repository.
    """
    from huggingface_hub import errors

    check_file_name(filename)
    if revision is None and repo == PUBLISHED_REPO:
        revision = PUBLISHED_REVISION
    where = f"{filename} of {repo} at revision {revision or 'main'}"
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    try:
        path = _download(filename, repo, revision, cache_dir, offline or cached_only)
    # This one is also an EntryNotFoundError, so it goes first.
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        reason = "HF_HUB_OFFLINE is set" if offline else "the hub was not reached"
        raise ConnectionError(
            f"{where} is not in the cache and {reason}. Connect once, set HF_ENDPOINT to a mirror "
            "you can reach, or fetch the file elsewhere and give its local directory"
        ) from error
    except errors.EntryNotFoundError as error:
        raise FileNotFoundError(f"the hub has no {where}: this revision lacks the file") from error
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f"the hub has no {where}: there is no such revision") from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"the hub has no {where}: there is no such repository, or it needs HF_TOKEN"
        ) from error
    except errors.HfHubHTTPError as error:
        raise ConnectionError(f"the hub refused {where}: {error}") from error
    except connection_errors() as error:
        raise ConnectionError(
            f"the connection broke while {where} was fetched ({error}). The same call goes on "
            "where it broke"
        ) from error
    _check(path, where, expected)
    return path


def file_sha256(path: str | Path) -> str:
    """The sha256 (hex) of a file, read once while it stays as it is."""
    found = os.stat(path)
    return _sha256(os.path.realpath(path), found.st_size, found.st_mtime_ns)


def _download(
    filename: str,
    repo: str,
    revision: str | None,
    cache_dir: str | Path | None,
    cached_only: bool,
) -> Path:
    """The file in the cache, fetched where it was not there; errors are huggingface_hub's."""
    from huggingface_hub import _CACHED_NO_EXIST, errors, hf_hub_download, try_to_load_from_cache

    endpoint = os.environ.get("HF_ENDPOINT")
    known = try_to_load_from_cache(repo, filename, cache_dir, revision)
    if cached_only and known is _CACHED_NO_EXIST:
        raise errors.EntryNotFoundError("as the hub said when it was last asked")
    if not cached_only and not isinstance(known, str):
        download_large(filename, repo, revision, cache_dir, endpoint)
    return Path(
        hf_hub_download(
            repo,
            filename,
            revision=revision,
            cache_dir=cache_dir,
            endpoint=endpoint,
            local_files_only=cached_only,
        )
    )


def _check(path: Path, where: str, expected: PinnedFile | None) -> None:
    """Refuse a file that is not the expected one, and log what it is."""
    size = path.stat().st_size
    remedy = f"It is not used: delete {os.path.realpath(path)} and download it again"
    if expected is not None and size != expected.size:
        raise ValueError(
            f"{where} has {size:,} bytes in the cache; expected {expected.size:,}. {remedy}"
        )
    sha256 = file_sha256(path)
    if expected is not None and sha256 != expected.sha256:
        raise ValueError(
            f"{where} has sha256 {sha256} in the cache; expected {expected.sha256}. {remedy}"
        )
    logger.info("%s: sha256 %s%s", where, sha256, "" if expected is None else ", as expected")


@lru_cache(maxsize=256)
def _sha256(path: str, size: int, modified: int) -> str:
    """The sha256 of a file; size and time stand for its content, which may change."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
