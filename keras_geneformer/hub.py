"""Fetches one file of a repository on the Hugging Face hub, with its cache."""

import hashlib
import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)

PUBLISHED_REPO = "ctheodoris/Geneformer"
PUBLISHED_REVISION = "05fcbeb8a27d49e0a7a4349152202ee2c1cbfd28"


def fetch(
    filename: str,
    *,
    repo: str = PUBLISHED_REPO,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
) -> Path:
    """Fetch one file from the Hugging Face hub, or find it in the hub's cache.

    The sha256 of the file is logged (logger `keras_geneformer.hub`, level INFO). The variables
    `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `HF_HOME` and `HF_TOKEN` of `huggingface_hub` are honoured.

    Args:
        filename: the file's path in the repository, e.g. "geneformer/token_dictionary_gc104M.pkl".
        repo: "owner/name" of a model repository.
        revision: a commit, branch or tag. Default for the published Geneformer repository:
            the commit `PUBLISHED_REVISION`; for any other: "main".
        cache_dir: the cache folder. Default: the one of `huggingface_hub`.

    Returns:
        The path of the file in the cache. It is not to be changed.

    Raises:
        FileNotFoundError: the hub has no such repository, revision or file.
        ConnectionError: the hub was not reached and the cache has no such file.
    """
    from huggingface_hub import errors, hf_hub_download

    if revision is None and repo == PUBLISHED_REPO:
        revision = PUBLISHED_REVISION
    where = f"{filename} of {repo} at revision {revision or 'main'}"
    endpoint = os.environ.get("HF_ENDPOINT")
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    try:
        path = Path(
            hf_hub_download(
                repo,
                filename,
                revision=revision,
                cache_dir=cache_dir,
                endpoint=endpoint,
                local_files_only=offline,
            )
        )
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
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    logger.info("%s: sha256 %s", where, checksum)
    return path
