"""A folder of a repository on the Hugging Face hub: `hf://organisation/repository/subfolder`."""

import json
import logging
from pathlib import Path
from typing import Any

from keras_geneformer.hub import fetch
from keras_geneformer.hub_names import check_file_name
from keras_geneformer.published_presets import PinnedFile, find_published_preset

HUB_SCHEME = "hf://"
VOCABULARY_FOLDER = "vocabulary"
_VOCABULARY_MANIFEST = "vocabulary.json"
_MOST_JSON = 32 * 2**20

# The logger that says which files came from the hub says this too.
logger = logging.getLogger("keras_geneformer.hub")


class HubFolder:
    """A folder of a repository, at one commit even where its branch moves meanwhile.

    Args:
        address: `"hf://organisation/repository"`, or a folder in it:
            `"hf://organisation/repository/subfolder"`.
        revision: a commit, branch or tag; `keras_geneformer.hub.fetch` says which is the default.
        cache_dir: the hub's cache folder. Default: the one of `huggingface_hub`.

    Attributes:
        repo: "organisation/repository".
        subfolder: "" or "subfolder/".
        revision: as given, and from the first file on the commit that it came of.
        pinned: the files of which it is known what they hold; they are all its weights then.

    Raises:
        ValueError: `address` is no such address.

    Example:
        >>> HubFolder("hf://ctheodoris/Geneformer/Geneformer-V1-10M").subfolder
        'Geneformer-V1-10M/'
    """

    def __init__(
        self, address: str, revision: str | None = None, cache_dir: str | Path | None = None
    ) -> None:
        self.address = address
        self.repo, self.subfolder = split_address(address)
        self.revision, self.cache_dir = revision, cache_dir
        self.pinned: dict[str, PinnedFile] = {}
        published = find_published_preset(address)
        if published is not None and revision in (None, published.revision):
            self.revision, self.pinned = published.revision, published.files
        elif published is not None:
            logger.info(
                "%s at revision %s: the sha256 of its weights is known of revision %s alone, and "
                "is not verified",
                address,
                revision,
                published.revision,
            )

    def file(self, name: str, cached_only: bool = False) -> Path:
        """Fetch a file of the folder (see `keras_geneformer.hub.fetch`)."""
        path = fetch(
            self.subfolder + name,
            repo=self.repo,
            revision=self.revision,
            cache_dir=self.cache_dir,
            expected=self.pinned.get(name),
            cached_only=cached_only,
        )
        # The cache keeps a file as snapshots/COMMIT/PATH: what follows comes of the same commit.
        depth = (self.subfolder + name).count("/")
        self.revision = path.parents[depth].name
        return path

    def first_of(self, *names: str) -> Path | None:
        """The first of several files that is there; None where there is none.

        Without a connection, what the cache has decides.

        Raises:
            FileNotFoundError: the hub has no such repository or revision.
            ConnectionError: the hub was not reached and the cache has none of them.
        """
        unreached: ConnectionError | None = None
        for name in names:
            try:
                return self.file(name, cached_only=unreached is not None)
            except ConnectionError as error:
                unreached = unreached or error
            except FileNotFoundError as error:
                if not _lacks_only_the_file(error):
                    raise
        if unreached is not None:
            raise unreached
        return None

    def named_in(self, path: Path, entry: str, values: bool = False) -> list[str]:
        """File names that a JSON file of this folder holds, each a plain name.

        Args:
            path: of the file, fetched.
            entry: of the object that has the names.
            values: the names are its values, not its keys.

        Raises:
            ValueError: there are no names, or one of them could lead out of the folder.
        """
        said_by = f"{path.name} of {self.address}"
        content = read_json(path, said_by)
        names = content.get(entry) if isinstance(content, dict) else None
        if not isinstance(names, dict) or not names:
            raise ValueError(
                f"{said_by} names no {entry}; expected an object with file names. It is damaged, "
                "or no such file: ask whoever uploaded it"
            )
        found = list(names.values()) if values else list(names)
        return list(dict.fromkeys(check_file_name(n, said_by, folders=False) for n in found))

    def vocabulary(self) -> Path:
        """The directory of the vocabulary that a preset of ours keeps, fetched."""
        manifest = self.file(f"{VOCABULARY_FOLDER}/{_VOCABULARY_MANIFEST}")
        for name in self.named_in(manifest, "files"):
            self.file(f"{VOCABULARY_FOLDER}/{name}")
        return manifest.parent


def split_address(address: str) -> tuple[str, str]:
    """The repository and the subfolder ("" or with a slash at its end) of an address.

    Raises:
        ValueError: it is no address on the hub.

    Example:
        >>> split_address("hf://lab/cells/heart/v2")
        ('lab/cells', 'heart/v2/')
    """
    parts = address.removeprefix(HUB_SCHEME).rstrip("/").split("/")
    if not address.startswith(HUB_SCHEME) or len(parts) < 2 or {"", ".", ".."} & set(parts):
        raise ValueError(
            f"Received preset={address!r}; expected 'hf://organisation/repository' or "
            "'hf://organisation/repository/subfolder'."
        )
    return "/".join(parts[:2]), "".join(f"{part}/" for part in parts[2:])


def read_json(path: Path, said_by: str) -> Any:
    """The content of a JSON file from the hub.

    Raises:
        ValueError: it is no JSON, or larger than any that describes a model.
    """
    size = path.stat().st_size
    if size > _MOST_JSON:
        raise ValueError(
            f"{said_by} has {size:,} bytes; expected at most {_MOST_JSON:,}. It is no such file: "
            "ask whoever uploaded it"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{said_by} is not valid JSON ({error}). Download it again") from error


def _lacks_only_the_file(error: FileNotFoundError) -> bool:
    """Whether the repository and its revision are there, and the file alone is missing."""
    from huggingface_hub.errors import EntryNotFoundError

    return isinstance(error.__cause__, EntryNotFoundError)
