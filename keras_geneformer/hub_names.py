"""Names that come from the internet: which of them may be asked for and written to disk."""

import re

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._+=@~-]*")
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{d}{n}" for d in ("COM", "LPT") for n in range(1, 10))}
"""Names that Windows takes for devices, whatever their suffix."""


def check_file_name(name: str, said_by: str | None = None, folders: bool = True) -> str:
    """Refuse a file name that could lead out of its folder.

    Args:
        name: a path in a repository, with forward slashes.
        said_by: where the name was read, for the message.
        folders: whether the path may have folders.

    Returns:
        The name as it was.

    Raises:
        ValueError: the name is absolute, leads upwards, or holds what no file of a preset has in
            its name: backslashes, drive letters, control characters.

    Example:
        >>> check_file_name("vocabulary/genes.parquet")
        'vocabulary/genes.parquet'
    """
    parts = name.split("/") if isinstance(name, str) else [""]
    plain = all(_PART.fullmatch(part) and not _is_odd(part) for part in parts)
    if not plain or (len(parts) > 1 and not folders):
        origin = f"{said_by} names the file" if said_by else "Received the file name"
        expected = "a path inside its folder" if folders else "a name without folders"
        raise ValueError(
            f"{origin} {name!r}; expected {expected}, of letters, digits, '_', '-' and '.'. "
            "Nothing of that name was fetched: do not trust where it came from"
        )
    return name


def _is_odd(part: str) -> bool:
    return part.endswith((".", " ")) or part.split(".")[0].upper() in _DEVICES
