"""The vocabularies of the published package: where their files stand and what they hold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_geneformer import hub
from keras_geneformer.tokenization.genes.published_pickles import read_published_pickle


@dataclass(frozen=True)
class PublishedVersion:
    """One version's file names, its folder in the published repository and its input length."""

    name: str
    suffix: str
    folder: str
    max_length: int

    def file(self, kind: str) -> str:
        """The name of one of its four files, e.g. `token_dictionary_gc30M.pkl`."""
        return f"{kind}_{self.suffix}.pkl"


KINDS = (
    "token_dictionary",
    "gene_median_dictionary",
    "gene_name_id_dict",
    "ensembl_mapping_dict",
)
"""The four files of a version, by the beginning of their names."""

Dictionaries = dict[str, dict[str, Any]]
"""What the four files hold, by `KINDS`."""

VERSIONS = {
    "v1": PublishedVersion("v1", "gc30M", "geneformer/gene_dictionaries_30m", 2048),
    "v2": PublishedVersion("v2", "gc104M", "geneformer", 4096),
}


def find_published(directory: Path, version: str | None) -> tuple[PublishedVersion, Path] | None:
    """Find a version's pickles in a directory, or in a clone of the published repository.

    Args:
        directory: holds the four pickles, or is the repository (V2 in `geneformer/`, V1 in
            `geneformer/gene_dictionaries_30m/`), or its `geneformer/` folder.
        version: "v1" or "v2"; None where the directory holds only one of them.

    Returns:
        The version and the folder of its files; None where there is neither.

    Raises:
        ValueError: both versions stand there and none is asked for.
    """
    wanted = [VERSIONS[version]] if version else list(VERSIONS.values())
    # Files in the directory itself go before those in its subfolders.
    for folders in (("",), ("gene_dictionaries_30m",), ("geneformer",), (VERSIONS["v1"].folder,)):
        found = _present(directory, wanted, folders)
        if not found:
            continue
        if folders == ("geneformer",) and not version:
            found += _present(directory, wanted, (VERSIONS["v1"].folder,))
        if len(found) > 1:
            raise ValueError(
                f"{directory} holds the published dictionaries of both V1 and V2: "
                'say which with version="v1" or version="v2"'
            )
        return found[0]
    return None


def _present(
    directory: Path, wanted: list[PublishedVersion], folders: tuple[str, ...]
) -> list[tuple[PublishedVersion, Path]]:
    return [
        (version, directory / folder)
        for version in wanted
        for folder in folders
        if (directory / folder / version.file("token_dictionary")).is_file()
    ]


def read_published(version: PublishedVersion, folder: Path) -> dict[str, Any]:
    """Read a version's pickles from a local folder.

    Returns:
        The fields of a `GeneVocabulary`.

    Raises:
        FileNotFoundError: one of the four files is missing.
        ValueError: a file is a Git-LFS pointer, truncated, or holds what is not admitted.
    """
    return _fields(version, read_dictionaries(version, folder))


def read_dictionaries(version: PublishedVersion, folder: Path) -> Dictionaries:
    """What a version's four pickles in a local folder hold.

    Raises:
        FileNotFoundError: one of the four files is missing.
        ValueError: a file is a Git-LFS pointer, truncated, or holds what is not admitted.
    """
    dictionaries = {}
    for kind in KINDS:
        path = folder / version.file(kind)
        if not path.is_file():
            raise FileNotFoundError(f"{folder} has no {path.name}, one of the four files needed")
        dictionaries[kind] = read_published_pickle(path)
    return dictionaries


def fetch_published(
    version: PublishedVersion, revision: str | None, cache_dir: str | Path | None
) -> dict[str, Any]:
    """Read a version's pickles from the published repository on the Hugging Face hub."""
    return _fields(version, fetch_dictionaries(version, revision, cache_dir))


def fetch_dictionaries(
    version: PublishedVersion, revision: str | None = None, cache_dir: str | Path | None = None
) -> Dictionaries:
    """What a version's four pickles in the published repository on the Hugging Face hub hold."""
    return {
        kind: read_published_pickle(
            hub.fetch(
                f"{version.folder}/{version.file(kind)}", revision=revision, cache_dir=cache_dir
            )
        )
        for kind in KINDS
    }


def _is_integer(token: object) -> bool:
    return isinstance(token, int | np.integer) and not isinstance(token, bool)


def _fields(version: PublishedVersion, dictionaries: Dictionaries) -> dict[str, Any]:
    tokens, medians, names, mapping = (dictionaries[kind] for kind in KINDS)
    for name, token in tokens.items():
        if not _is_integer(token):
            raise ValueError(
                f"{version.file('token_dictionary')} has {name!r}: {token!r}; expected a gene id "
                "and an integer"
            )
    special = {name: int(token) for name, token in tokens.items() if name.startswith("<")}
    genes = sorted((gene for gene in tokens if gene not in special), key=tokens.__getitem__)
    lacking = [gene for gene in genes if gene not in medians]
    if lacking:
        raise ValueError(
            f"{len(lacking)} genes of {version.file('token_dictionary')} have no median in "
            f"{version.file('gene_median_dictionary')}, among them {lacking[0]}"
        )
    known = set(genes)
    symbols = {gene: name for name, gene in names.items() if gene in known}
    # The published mapping comes last: where it and the symbols differ, it decides.
    aliases = {gene.upper(): gene for gene in genes}
    aliases |= {name.upper(): gene for name, gene in names.items() if gene in known}
    aliases |= {name.upper(): gene for name, gene in mapping.items() if gene in known}
    return {
        "genes": genes,
        "tokens": [tokens[gene] for gene in genes],
        "medians": [medians[gene] for gene in genes],
        "symbols": [symbols.get(gene, "") for gene in genes],
        "aliases": aliases,
        "special_tokens": special,
        "version": version.name,
        "max_length": version.max_length,
    }
