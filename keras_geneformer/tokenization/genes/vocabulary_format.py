"""Our own vocabulary format: `vocabulary.json`, `genes.parquet` and `aliases.parquet`.

Specified in docs/vocabulary-format.md.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from keras_geneformer.tokenization.publishing import publish_directory

MANIFEST = "vocabulary.json"
_FORMAT = "keras_geneformer vocabulary"
_FORMAT_VERSION = 1
_GENES = "genes.parquet"
_ALIASES = "aliases.parquet"
_KEYS = ("version", "checksum", "max_length", "special_tokens", "files")


def is_vocabulary_directory(directory: Path) -> bool:
    """Whether a directory holds a vocabulary in our format, and nothing else of the user's."""
    names = {path.name for path in directory.iterdir()}
    return MANIFEST in names and names <= {MANIFEST, _GENES, _ALIASES}


def write_vocabulary(directory: str | Path, fields: dict[str, Any], checksum: str) -> None:
    """Write a vocabulary's fields; an earlier vocabulary there is replaced in one step.

    Args:
        directory: the directory to write.
        fields: genes, tokens, medians, symbols, aliases, special_tokens, version, max_length.
        checksum: of the genes, tokens, medians and special tokens.

    Raises:
        FileExistsError: the directory holds anything else than a vocabulary.
    """
    genes = pa.table(
        {
            "gene": pa.array(fields["genes"], pa.string()),
            "token": pa.array(fields["tokens"], pa.int32()),
            "median": pa.array(fields["medians"], pa.float64()),
            "symbol": pa.array(fields["symbols"], pa.string()),
        }
    )
    aliases = pa.table(
        {
            "alias": pa.array(list(fields["aliases"].keys()), pa.string()),
            "gene": pa.array(list(fields["aliases"].values()), pa.string()),
        }
    )
    with publish_directory(directory, is_vocabulary_directory) as partial:
        pq.write_table(genes, partial / _GENES)
        pq.write_table(aliases, partial / _ALIASES)
        manifest = {
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "version": fields["version"],
            "checksum": checksum,
            "max_length": fields["max_length"],
            "special_tokens": fields["special_tokens"],
            "files": {name: _sha256(partial / name) for name in (_GENES, _ALIASES)},
        }
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def read_vocabulary(directory: Path) -> tuple[dict[str, Any], str]:
    """Read a vocabulary's fields.

    Returns:
        The fields as `write_vocabulary` takes them, and the checksum the manifest states.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the manifest is not ours, or a file is not the one that was written.
    """
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); save the vocabulary again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise ValueError(f"{path} is not a {_FORMAT} manifest")
    if manifest.get("format_version") != _FORMAT_VERSION:
        raise ValueError(
            f"{path} has format version {manifest.get('format_version')}; this keras_geneformer "
            f"reads version {_FORMAT_VERSION}: install a newer one"
        )
    lacking = [key for key in _KEYS if key not in manifest]
    if lacking:
        raise ValueError(f"{path} lacks {', '.join(lacking)}; save the vocabulary again")
    for name, sha256 in manifest["files"].items():
        if not (directory / name).is_file():
            raise FileNotFoundError(f"{directory} has no {name}, which its {MANIFEST} names")
        if _sha256(directory / name) != sha256:
            raise ValueError(
                f"{directory / name} is not the file that was written (its sha256 differs from "
                f"the one in {MANIFEST}): save the vocabulary again"
            )
    genes = pq.read_table(directory / _GENES)
    aliases = pq.read_table(directory / _ALIASES)
    fields = {
        "genes": genes["gene"].to_pylist(),
        "tokens": genes["token"].to_numpy(),
        "medians": genes["median"].to_numpy(),
        "symbols": genes["symbol"].to_pylist(),
        "aliases": dict(zip(aliases["alias"].to_pylist(), aliases["gene"].to_pylist())),
        "special_tokens": manifest["special_tokens"],
        "version": manifest["version"],
        "max_length": manifest["max_length"],
    }
    return fields, manifest["checksum"]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
