"""The published checkpoints that a name is enough for, each pinned to a commit and its bytes."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from keras_geneformer.shipped_presets import local_directory, shipped_presets, weights_folder

MANIFEST_FILE = "manifest.json"
_FORMAT = 1


@dataclass(frozen=True)
class PinnedFile:
    """What a file of a pinned commit holds: its sha256 (hex) and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class PublishedPreset:
    """A published checkpoint: where it lies on the hub, and what is known of it beforehand.

    Args:
        name: e.g. "geneformer_v1_10m".
        repo: "owner/name" on the hub.
        subfolder: of the repository.
        revision: the commit that `files` are of.
        files: file names in the subfolder, to what they hold.
        shape: its sizes, by the names that `GeneformerBackbone` has for them.
        vocabulary: "v1" or "v2".
        vocabulary_checksum: `GeneVocabulary.checksum` of it.
    """

    name: str
    repo: str
    subfolder: str
    revision: str
    files: dict[str, PinnedFile]
    shape: dict[str, int]
    vocabulary: str
    vocabulary_checksum: str

    @property
    def address(self) -> str:
        """Its address: `hf://owner/name/subfolder`."""
        return f"hf://{self.repo}/{self.subfolder}"


@cache
def published_presets() -> dict[str, PublishedPreset]:
    """The published checkpoints by name, as weights/manifest.json describes them.

    Raises:
        FileNotFoundError: the package was installed without its manifest.
        ValueError: the manifest is of another version of the package.

    Example:
        >>> published_presets()["geneformer_v1_10m"].address
        'hf://ctheodoris/Geneformer/Geneformer-V1-10M'
    """
    path = weights_folder() / MANIFEST_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}, which names the published checkpoints. Install keras_geneformer "
            "again."
        )
    manifest = json.loads(path.read_text(encoding="utf-8"))
    if manifest.get("format") != _FORMAT:
        raise ValueError(
            f"{path} has format {manifest.get('format')!r}; expected {_FORMAT}. Install "
            "keras_geneformer again."
        )
    return {
        name: PublishedPreset(
            name=name,
            repo=entry["repo"],
            subfolder=entry["subfolder"],
            revision=entry["revision"],
            files={
                file: PinnedFile(known["sha256"], known["bytes"])
                for file, known in entry["files"].items()
            },
            shape=entry["shape"],
            vocabulary=entry["vocabulary"],
            vocabulary_checksum=entry["vocabulary_checksum"],
        )
        for name, entry in manifest["presets"].items()
        if entry["source"] == "published"
    }


def find_published_preset(
    preset: str | Path, revision: str | None = None
) -> PublishedPreset | None:
    """The published checkpoint that a name or an address stands for.

    Args:
        preset: a name, or an address such as "hf://ctheodoris/Geneformer/Geneformer-V1-10M". A
            directory of that name in the working directory goes before.
        revision: of the hub. Of another one than the pinned, nothing is known beforehand.

    Returns:
        The checkpoint; None where it is another preset or another revision.

    Example:
        >>> find_published_preset("geneformer_v2_316m").vocabulary
        'v2'
        >>> find_published_preset("geneformer_v2_316m", revision="main") is None
        True
    """
    address = str(preset).rstrip("/")
    if address.startswith("hf://"):
        by_address = {one.address: one for one in published_presets().values()}
        published = by_address.get(address)
    else:
        published = named_preset(preset)
    if published is None or revision not in (None, published.revision):
        return None
    return published


def named_preset(preset: str | Path) -> PublishedPreset | None:
    """The published checkpoint of that name; None where a directory or another preset has it."""
    if str(preset).startswith("hf://") or local_directory(preset).is_dir():
        return None
    return published_presets().get(str(preset))


def preset_names() -> str:
    """All names that stand for a preset, for messages."""
    shipped = ", ".join(shipped_presets())
    return f"{shipped} (comes with the package), {', '.join(published_presets())} (from the hub)"
