"""Where a preset is found: a directory, the package's own, or the Hugging Face hub."""

from keras_geneformer.models.preset_format import PRESET_FILE, WEIGHTS_FILE, is_preset
from keras_geneformer.shipped_presets import local_directory, shipped_presets


def preset_directory(preset, revision=None):
    """Where a preset lies on disk: a directory, or one that comes with the package, by its name.

    What is on the hub is fetched first.
    """
    if str(preset).startswith("hf://"):
        from keras_geneformer.models.hub_presets import fetch_preset

        return fetch_preset(str(preset), revision)
    directory = local_directory(preset)
    if not directory.is_dir():
        raise FileNotFoundError(
            f"There is no preset at {directory}. Expected a directory (of ours, with "
            f"{PRESET_FILE}, or a published one, with config.json), "
            "'hf://organisation/repository/subfolder', or the name of one that comes with the "
            f"package: {', '.join(shipped_presets()) or 'none'}."
        )
    if not is_preset(directory) and (directory / WEIGHTS_FILE).is_file():
        raise FileNotFoundError(
            f"The preset {directory} lacks {PRESET_FILE}. Copy or download the whole directory."
        )
    return directory
