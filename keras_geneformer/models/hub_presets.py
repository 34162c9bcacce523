"""Presets on the Hugging Face hub."""

import json
from pathlib import Path

from huggingface_hub.errors import EntryNotFoundError

from keras_geneformer.hub import fetch

_SCHEME = "hf://"


def fetch_preset(preset: str, revision: str | None = None) -> Path:
    """Fetch a preset from the hub, or find it in the hub's cache.

    Only what is needed comes: of a preset of ours preset.json, model.weights.h5 and the vocabulary;
    of a published checkpoint config.json and model.safetensors, or else pytorch_model.bin. All
    files are of one commit, even where `revision` is a branch that moves meanwhile.

    Args:
        preset: `"hf://organisation/repository"`, or a folder in it:
            `"hf://organisation/repository/subfolder"`.
        revision: a commit, branch or tag; `keras_geneformer.hub.fetch` says which is the default.

    Returns:
        The directory in the cache. It is not to be changed.

    Raises:
        ValueError: `preset` is no such address.
        FileNotFoundError: the hub has no such repository or revision, or lacks a file there.
        ConnectionError: the hub was not reached and the cache lacks a file.

    Example:
        `fetch_preset("hf://ctheodoris/Geneformer/Geneformer-V1-10M")`
    """
    remote = _Folder(preset, revision)
    description = remote.first_of("preset.json", "config.json")
    if description.name == "config.json":
        remote.first_of("model.safetensors", "pytorch_model.bin")
        return description.parent
    remote.file("model.weights.h5")
    if json.loads(description.read_text(encoding="utf-8")).get("vocabulary"):
        manifest = remote.file("vocabulary/vocabulary.json")
        for name in json.loads(manifest.read_text(encoding="utf-8"))["files"]:
            remote.file(f"vocabulary/{name}")
    return description.parent


class _Folder:
    """A folder of a repository on the hub, at one commit."""

    def __init__(self, preset: str, revision: str | None):
        parts = preset.removeprefix(_SCHEME).rstrip("/").split("/")
        if not preset.startswith(_SCHEME) or len(parts) < 2 or {"", ".", ".."} & set(parts):
            raise ValueError(
                f"Received preset={preset!r}; expected 'hf://organisation/repository' or "
                "'hf://organisation/repository/subfolder'."
            )
        self.preset = preset
        self.repo = "/".join(parts[:2])
        self.subfolder = "".join(f"{part}/" for part in parts[2:])
        self.revision = revision

    def file(self, name: str) -> Path:
        path = fetch(self.subfolder + name, repo=self.repo, revision=self.revision)
        # The cache keeps a file as snapshots/COMMIT/PATH: what follows comes of the same commit.
        depth = (self.subfolder + name).count("/")
        self.revision = path.parents[depth].name
        return path

    def first_of(self, wanted: str, otherwise: str) -> Path:
        """One of two files, the first where both are there.

        Without a connection, what the cache has decides.
        """
        try:
            return self.file(wanted)
        except (FileNotFoundError, ConnectionError) as error:
            if isinstance(error, FileNotFoundError) and not _lacks_only_the_file(error):
                raise
            try:
                return self.file(otherwise)
            except FileNotFoundError as second:
                raise FileNotFoundError(
                    f"{self.preset} at revision {self.revision or 'main'} holds neither {wanted} "
                    f"nor {otherwise}: expected a preset of ours or a published checkpoint. Is the "
                    "subfolder right?"
                ) from second


def _lacks_only_the_file(error: FileNotFoundError) -> bool:
    """Whether the repository and its revision are there, and the file alone is missing."""
    return isinstance(error.__cause__, EntryNotFoundError)
