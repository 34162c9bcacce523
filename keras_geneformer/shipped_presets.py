"""Presets that come with the package, found by their names."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_PRESET_FILE = "preset.json"


def shipped_presets() -> dict[str, Path]:
    """The presets that come with the package: name to directory, in alphabetical order.

    An installed package holds them; a checkout, which an editable install leads to, has them in
    its folder weights.

    Example:
        >>> sorted(shipped_presets())
        ['geneformer_mini']
    """
    found = sorted(weights_folder().glob(f"*/{_PRESET_FILE}"))
    return {path.parent.name: path.parent for path in found}


def weights_folder() -> Path:
    """The folder weights: of an installed package its own, of a checkout the one beside it."""
    installed = _PACKAGE / "weights"
    return installed if installed.is_dir() else _PACKAGE.parent / "weights"


def local_directory(source: str | Path) -> Path:
    """The directory that is called so: the path itself, else the shipped preset of that name.

    Args:
        source: a path, or a bare name such as "geneformer_mini". A directory of that name in the
            working directory goes before the preset.

    Returns:
        The directory; the path as it was given where there is neither.

    Example:
        >>> local_directory("geneformer_mini").name
        'geneformer_mini'
    """
    directory = Path(source)
    if directory.is_dir():
        return directory
    return shipped_presets().get(str(source), directory)
