"""Finds a vocabulary by what users call it: a published version, a preset, or a directory."""

from pathlib import Path
from typing import Any

from keras_geneformer.hub_folder import HUB_SCHEME, HubFolder
from keras_geneformer.published_presets import find_published_preset, preset_names
from keras_geneformer.shipped_presets import local_directory
from keras_geneformer.tokenization.genes.published_vocabulary import (
    VERSIONS,
    fetch_published,
    find_published,
    read_published,
)
from keras_geneformer.tokenization.genes.vocabulary_format import MANIFEST, read_vocabulary


def read_fields(
    source: str | Path,
    version: str | None,
    revision: str | None,
    cache_dir: str | Path | None,
) -> tuple[dict[str, Any], tuple[Path, str] | None]:
    """The fields of a `GeneVocabulary` (see `GeneVocabulary.load` for the arguments).

    Returns:
        The fields; and the directory and the checksum that it states, where it states one.

    Raises:
        FileNotFoundError: no such directory, or it holds no vocabulary, or a file is missing.
        ValueError: a file is damaged or holds what a vocabulary may not hold.
        ConnectionError: the hub was not reached and its cache has no copy.
    """
    if version is not None and version not in VERSIONS:
        raise ValueError(f'version is {version!r}; expected "v1" or "v2"')
    if isinstance(source, str) and source.lower() in VERSIONS:
        return fetch_published(VERSIONS[source.lower()], revision, cache_dir), None
    published = find_published_preset(source)
    if published is not None:
        return fetch_published(VERSIONS[published.vocabulary], revision, cache_dir), None
    directory = _vocabulary_directory(source, revision, cache_dir)
    if not directory.is_dir():
        raise FileNotFoundError(
            f'{directory} is no directory; expected "v1", "v2", a directory that holds a '
            "vocabulary, 'hf://organisation/repository/subfolder', or the name of a preset: "
            f"{preset_names()}"
        )
    for place in (directory, directory / "vocabulary"):
        if (place / MANIFEST).is_file():
            fields, checksum = read_vocabulary(place)
            return fields, (place, checksum)
    found = find_published(directory, version)
    if found is None:
        raise FileNotFoundError(
            f"{directory} holds no vocabulary: neither {MANIFEST} nor the published pickles "
            "(token_dictionary_gc30M.pkl or token_dictionary_gc104M.pkl and their companions)"
        )
    return read_published(*found), None


def _vocabulary_directory(
    source: str | Path, revision: str | None, cache_dir: str | Path | None
) -> Path:
    """The directory that is called so; of a preset of ours on the hub, its vocabulary alone."""
    if not str(source).startswith(HUB_SCHEME):
        return local_directory(source)
    return HubFolder(str(source), revision, cache_dir).vocabulary()
