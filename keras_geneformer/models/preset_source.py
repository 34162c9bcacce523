"""Where a preset is found: a directory or file, the package's own, or the Hugging Face hub."""

from pathlib import Path

from keras_geneformer.models.keras_archive import KERAS_SUFFIX, unpacked_archive
from keras_geneformer.models.preset_format import PRESET_FILE, WEIGHTS_FILE, is_preset
from keras_geneformer.published_presets import named_preset, preset_names
from keras_geneformer.shipped_presets import local_directory


def preset_directory(preset, revision=None):
    """Where a preset lies on disk.

    Args:
        preset: a directory; a `.keras` file, which is unpacked beside the system's temporary files;
            the name of a preset that comes with the package or of a published checkpoint; or an
            address on the hub. What is on the hub is fetched first.
        revision: of the hub.

    Raises:
        FileNotFoundError: there is no such preset.
        ValueError: a file is damaged or not the expected one.
        ConnectionError: the hub was not reached and its cache has no copy.
    """
    published = named_preset(preset)
    if published is not None or str(preset).startswith("hf://"):
        from keras_geneformer.models.hub_presets import fetch_preset

        return fetch_preset(published.address if published else str(preset), revision)
    if str(preset).endswith(KERAS_SUFFIX) and Path(preset).is_file():
        return unpacked_archive(preset)
    directory = local_directory(preset)
    if not directory.is_dir():
        raise FileNotFoundError(
            f"There is no preset at {directory}. Expected a directory (of ours, with "
            f"{PRESET_FILE}, or a published one, with config.json), a file of Keras "
            f"(*{KERAS_SUFFIX}), 'hf://organisation/repository/subfolder', or a name: "
            f"{preset_names()}."
        )
    if not is_preset(directory) and (directory / WEIGHTS_FILE).is_file():
        raise FileNotFoundError(
            f"The preset {directory} lacks {PRESET_FILE}. Copy or download the whole directory."
        )
    return directory
