"""Checkpoints from one form into the other: published ones and presets of ours."""

import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from keras_geneformer.models.backbone_of import backbone_of
from keras_geneformer.models.preset_format import is_preset, is_replaceable
from keras_geneformer.models.preset_source import preset_directory
from keras_geneformer.models.presets import (
    check_model_vocabulary,
    load_saved,
    preset_vocabulary,
    save_preset,
)
from keras_geneformer.models.published import load_published
from keras_geneformer.models.published_export import export_to_transformers, nothing_is_replaced
from keras_geneformer.models.recognition import recognise
from keras_geneformer.models.verification import VerificationError, verify_checkpoint
from keras_geneformer.published_presets import find_published_preset
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.tokenization.publishing import check_destination, publish_directory

FORMS = ("preset", "transformers")


def convert_checkpoint(source, destination, vocabulary=None, *, verify=False, **options):
    """Turn a published PyTorch checkpoint into a preset of ours, or a preset into one of those.

    Args:
        source: a preset of ours; or a directory with config.json and model.safetensors or
            pytorch_model.bin; or either on the hub, as
            `"hf://organisation/repository/subfolder"`.
        destination: directory to write; it appears whole or not at all. A preset there is replaced,
            a checkpoint for `transformers` is not.
        vocabulary: the `GeneVocabulary` of the checkpoint, or what `GeneVocabulary.load` takes
            (`"v1"`, `"v2"`, a directory), to keep in the preset. Where None, what a preset keeps.
        verify: compare what was written with its source (`verify_checkpoint`) before it takes its
            name.
        **options: `to`, `"preset"` or `"transformers"`, where it is not to be the other form than
            the source's; `classes` and `tasks`, names for a published classifier (see
            `from_preset`); for `"transformers"`, `vocabulary_files=True` to write the vocabulary
            as the published package's pickles, which reads nothing else, and `max_shard_bytes`
            (see `export_to_transformers`).

    Returns:
        The model, of the class that the checkpoint has.

    Raises:
        FileNotFoundError: a file is missing.
        FileExistsError: the destination holds something that is not replaced.
        ValueError: the checkpoint is not a Geneformer's, or not of this vocabulary; or the model
            has what a checkpoint for `transformers` has no place for.
        VerificationError: (a ValueError) what was written is not the source.

    Example:
        A checkpoint beside its vocabulary becomes one directory that tokenizes and infers:

        `convert_checkpoint("Geneformer-V1-10M", "geneformer_v1_10m", vocabulary="v1")`

        And a model that was fine-tuned here goes to those who work with `transformers`:

        `convert_checkpoint("heart_cell_types", "heart_cell_types_bert")`
    """
    return convert_with_table(source, destination, vocabulary, verify=verify, **options)[0]


def convert_with_table(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str] | None,
    vocabulary: Any = None,
    *,
    verify: bool = False,
    to: str | None = None,
    classes: Any = None,
    tasks: Any = None,
    vocabulary_files: bool = False,
    max_shard_bytes: int | None = None,
) -> tuple[Any, pd.DataFrame | None]:
    """Convert as `convert_checkpoint` does.

    Args:
        source, vocabulary, verify, to, classes, tasks, vocabulary_files, max_shard_bytes: as there.
        destination: as there; None to write to a temporary place, compare, and leave nothing.

    Returns:
        The model, and the table of `verify_checkpoint` where it was asked for.
    """
    directory = preset_directory(source)
    form = _form(directory, to, vocabulary_files, max_shard_bytes)
    replaceable = is_replaceable if form == "preset" else nothing_is_replaced
    if destination is not None:
        check_destination(destination, replaceable)
    given = vocabulary
    if vocabulary is None:
        vocabulary = preset_vocabulary(directory)
    elif not isinstance(vocabulary, GeneVocabulary):
        vocabulary = GeneVocabulary.load(vocabulary)
    model = _load(source, directory, classes, tasks)
    if vocabulary is not None:
        check_model_vocabulary(model, vocabulary)
        backbone = backbone_of(model)
        backbone.vocabulary_checksum = vocabulary.checksum
        backbone.special_token_ids = tuple(sorted(vocabulary.special_tokens.values()))

    def write(place: Path) -> None:
        if form == "preset":
            save_preset(model, place, vocabulary)
        else:
            files: Any = vocabulary_files
            if files and given is not None and not isinstance(given, GeneVocabulary):
                files = given
            export_to_transformers(model, place, vocabulary, files, max_shard_bytes)

    def verified(place: Path) -> pd.DataFrame:
        write(place)
        table = verify_checkpoint(directory, place)
        if table["passed"].eq(False).any():
            raise VerificationError(table)
        return table

    if destination is None:
        with tempfile.TemporaryDirectory() as scratch:
            return model, verified(Path(scratch) / "converted")
    if not verify:
        write(Path(destination))
        return model, None
    with publish_directory(destination, replaceable) as partial:
        table = verified(partial)
    return model, table


def _form(
    directory: Path, to: str | None, vocabulary_files: bool, max_shard_bytes: int | None
) -> str:
    if to not in (None, *FORMS):
        raise ValueError(f"Received to={to!r}; expected 'preset' or 'transformers'.")
    form = to or ("transformers" if is_preset(directory) else "preset")
    if form == "preset" and (vocabulary_files or max_shard_bytes is not None):
        raise ValueError(
            "Received vocabulary_files or max_shard_bytes for a preset; they are of a checkpoint "
            "for transformers (to='transformers')."
        )
    return form


def _load(source: Any, directory: Path, classes: Any, tasks: Any) -> Any:
    if not is_preset(directory):
        model = load_published(directory, classes=classes, tasks=tasks)
        known = find_published_preset(source)
        if known is not None:
            recognise(backbone_of(model), known)
        return model
    if classes is not None or tasks is not None:
        raise ValueError(
            f"Received names of classes for {directory}, which is a preset and has its own. They "
            "are for a published checkpoint."
        )
    return load_saved(directory)
