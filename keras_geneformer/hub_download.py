"""Downloads a large file into the cache of huggingface_hub, and goes on where it was broken off.

huggingface_hub goes on by itself within one call. What a call that ended early had received it
throws away (since its version 2), which for a checkpoint is a gigabyte.
"""

import hashlib
import re
import sys
from pathlib import Path
from typing import Any

from keras_geneformer.hub_names import check_file_name

LARGE = 20_000_000
"""Bytes from which a broken download is worth going on with: two of huggingface_hub's pieces."""
_LARGE_KINDS = (".safetensors", ".bin", ".h5")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def download_large(
    filename: str,
    repo: str,
    revision: str | None,
    cache_dir: str | Path | None = None,
    endpoint: str | None = None,
) -> None:
    """Bring a file of weights into the cache, where `hf_hub_download` then finds it.

    Does nothing for a file that is small, in the cache, or not known by its sha256 beforehand.
    A connection that breaks is tried again, five times, from where it broke; an interrupted call
    leaves what it has, and the next one goes on there.

    Args:
        filename: the file's path in the repository.
        repo: "owner/name".
        revision: a commit, branch or tag; None for "main".
        cache_dir: the cache folder; the one of `huggingface_hub` where None.
        endpoint: address of the hub; huggingface_hub's where None.

    What huggingface_hub and its HTTP client raise goes through.

    Raises:
        ValueError: what was received is not what the hub announced.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get, repo_folder_name
    from huggingface_hub.utils import WeakFileLock, build_hf_headers

    check_file_name(filename)
    if not filename.endswith(_LARGE_KINDS):
        return
    url = hf_hub_url(repo, filename, revision=revision, endpoint=endpoint)
    try:
        announced = get_hf_file_metadata(url)
    except (*connection_errors(), HfHubHTTPError):
        # hf_hub_download asks the same, remembers the answer, and says what is the matter.
        return
    sha256, size = announced.etag, announced.size
    if size is None or size < LARGE or sha256 is None or not _SHA256.fullmatch(sha256):
        return
    cache = Path(cache_dir or constants.HF_HUB_CACHE)
    folder = repo_folder_name(repo_id=repo, repo_type="model")
    blobs, locks = cache / folder / "blobs", cache / ".locks" / folder
    blobs.mkdir(parents=True, exist_ok=True)
    locks.mkdir(parents=True, exist_ok=True)
    partial = blobs / f"{sha256}.resumable"
    with WeakFileLock(str(locks / f"{sha256}.resumable.lock")):
        if (blobs / sha256).exists():
            return
        with partial.open("ab") as file:
            received = file.tell()
            if received > size:
                file.truncate(0)
                received = 0
            http_get(
                url,
                file,
                resume_size=received,
                headers=build_hf_headers(),
                expected_size=size,
                displayed_filename=filename,
            )
        with partial.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            partial.unlink()
            raise ValueError(
                f"{filename} of {repo} came with sha256 {found}; the hub announced {sha256}. What "
                "came was thrown away: download again"
            )
        partial.replace(blobs / sha256)


def connection_errors() -> tuple[type[Exception], ...]:
    """What a connection that breaks raises, whichever library huggingface_hub speaks with."""
    names = {"httpx2": "TransportError", "httpx": "TransportError", "requests": "RequestException"}
    loaded: dict[str, Any] = {name: sys.modules.get(name) for name in names}
    return tuple(getattr(module, names[name]) for name, module in loaded.items() if module)
