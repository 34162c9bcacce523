"""Proof that two checkpoints hold one model: tensors bit by bit, and outputs."""

import math
import os
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.models.checkpoint_side import CheckpointSide, checkpoint_side
from keras_geneformer.models.preset_source import preset_directory
from keras_geneformer.models.published import load_published
from keras_geneformer.models.transformers_outputs import (
    Outputs,
    cells_like_real_ones,
    has_transformers,
    our_outputs,
    transformers_outputs,
)
from keras_geneformer.published_presets import published_presets

ABSOLUTE, RELATIVE = 2e-5, 1e-4
"""How far our outputs may be from those of `transformers`: as far as in our tests."""

_COLUMNS = ["check", "source", "converted", "difference", "passed"]


class VerificationError(ValueError):
    """A converted checkpoint is not what it came from.

    Attributes:
        table: as from `verify_checkpoint`.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        failed = table[table["passed"].eq(False).fillna(False)]
        super().__init__(
            f"The converted checkpoint differs from its source in {len(failed)} of {len(table)} "
            f"checks: {', '.join(failed['check'])}. Nothing was written."
        )
        self.table = table


def verify_checkpoint(
    source: str | os.PathLike[str], converted: str | os.PathLike[str]
) -> pd.DataFrame:
    """Compare a checkpoint with what it was converted to, both read from disk.

    Keys, shapes and every tensor are compared, bit by bit. Where `transformers` is installed, so
    are hidden states after every layer, and the scores: ours on one side, those of `transformers`
    on the other, on four cells of made-up ranks of up to 96 genes, three of them padded. They may
    differ by 2e-5 and 1e-4 of their value.

    Args:
        source: a published checkpoint or a preset, as `convert_checkpoint` takes it.
        converted: the directory that was written.

    Returns:
        A row a check: `check`, its name; `source` and `converted`, what was found; `difference`,
        the largest absolute one, of outputs; `passed`, and missing where there was nothing to
        compare.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or not that of a Geneformer.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from keras_geneformer import GeneformerMaskedLM, convert_checkpoint
        >>> from keras_geneformer.testing import tiny_backbone
        >>> folder = Path(tempfile.mkdtemp())
        >>> GeneformerMaskedLM(tiny_backbone()).save_to_preset(folder / "preset")
        >>> _ = convert_checkpoint(folder / "preset", folder / "bert")
        >>> table = verify_checkpoint(folder / "preset", folder / "bert")
        >>> bool(table["passed"].all())
        True
    """
    one, other = (checkpoint_side(preset_directory(path)) for path in (source, converted))
    rows = [
        _row("model", one.name, other.name, one.kind == other.kind),
        _row("keys", f"{len(one.shapes):,}", f"{len(other.shapes):,}", _same_keys(one, other)),
        _shapes(one, other),
        _row("config", *_unlike(one.config, other.config)),
        _tensors(one, other),
        _checksums(one, other),
        _vocabulary(one, other),
        *_outputs(one, other),
    ]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    return table.astype({"difference": "float64", "passed": "boolean"})


def _row(
    check: str,
    source: str,
    converted: str,
    passed: bool | None,
    difference: float | None = None,
) -> tuple[Any, ...]:
    return check, source, converted, difference, passed


def _same_keys(one: CheckpointSide, other: CheckpointSide) -> bool:
    return one.shapes.keys() == other.shapes.keys()


def _shapes(one: CheckpointSide, other: CheckpointSide) -> tuple[Any, ...]:
    for key, shape in one.shapes.items():
        if other.shapes.get(key) != shape:
            return _row("shapes", f"{key} {shape}", f"{key} {other.shapes.get(key)}", False)
    return _row("shapes", _weights(one), _weights(other), _same_keys(one, other))


def _weights(side: CheckpointSide) -> str:
    return f"{sum(math.prod(shape) for shape in side.shapes.values()):,} weights"


def _unlike(one: dict[str, Any], other: dict[str, Any]) -> tuple[str, str, bool]:
    """The entries that differ, of each."""
    keys = [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]
    if not keys:
        return f"{len(one)} entries", f"{len(other)} entries", True
    shown = [", ".join(f"{key} {side.get(key)!r}" for key in keys) for side in (one, other)]
    return shown[0], shown[1], False


def _tensors(one: CheckpointSide, other: CheckpointSide) -> tuple[Any, ...]:
    """How many tensors are the same, bit by bit; each is read, and gone again."""
    shared = [key for key in one.shapes if one.shapes[key] == other.shapes.get(key)]
    unlike = [key for key in shared if not _same_bits(one.read(key), other.read(key))]
    total = len({*one.shapes, *other.shapes})
    text = f"{len(shared) - len(unlike):,} of {total:,} bit-equal"
    if unlike:
        text += f"; unlike: {unlike[0]}"
    return _row("tensors", f"{len(one.shapes):,}", text, len(shared) - len(unlike) == total)


def _same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    # A published tensor of half precision is read as float32, which holds it exactly.
    return bool(np.array_equal(_bits(one), _bits(other)))


def _bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, dtype="float32").view("uint32")


def _checksums(one: CheckpointSide, other: CheckpointSide) -> tuple[Any, ...]:
    known = {
        file.sha256: preset.name
        for preset in published_presets().values()
        for file in preset.files.values()
    }

    def shown(sums: list[str]) -> str:
        return " ".join([*sums, *(known[checksum] for checksum in sums if checksum in known)])

    source, converted = one.sha256(), other.sha256()
    recognised = bool(known.keys() & {*source, *converted})
    return _row("sha256", shown(source), shown(converted), recognised or None)


def _vocabulary(one: CheckpointSide, other: CheckpointSide) -> tuple[Any, ...]:
    source, converted = one.vocabulary_checksum, other.vocabulary_checksum
    same = None if source is None or converted is None else source == converted
    return _row("vocabulary", source or "unknown", converted or "unknown", same)


def _outputs(one: CheckpointSide, other: CheckpointSide) -> list[tuple[Any, ...]]:
    if one.kind != other.kind or one.shapes != other.shapes:
        return [_row("outputs", "", "not compared: other keys or shapes", None)]
    published = [side for side in (one, other) if side.model is None]
    if not published:
        return [_row("outputs", "a preset", "not compared: both are presets", None)]
    if not has_transformers():
        return [_row("outputs", "", "not compared: transformers is not installed", None)]
    # Of two published ones, what was written is read by transformers, and the source by us.
    theirs, named = published[-1], "converted" if published[-1] is other else "source"
    side = one if theirs is other else other
    model = load_published(side.directory) if side.model is None else side.model
    cells = cells_like_real_ones(getattr(model, "backbone", model))
    expected, lacking = transformers_outputs(theirs.directory, theirs.kind, cells)
    if lacking:
        text = f"transformers lacks {lacking[0]}" + (
            f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        )
        # How a checkpoint of others names its keys is not for a conversion to answer for.
        return [_row("outputs", "", text, False if named == "converted" else None)]
    words = ("transformers", "ours") if named == "source" else ("ours", "transformers")
    return _differences(our_outputs(model, cells), expected, words)


def _differences(
    received: Outputs, expected: Outputs, words: tuple[str, str]
) -> list[tuple[Any, ...]]:
    pairs = [
        (f"hidden states {layer}", *states)
        for layer, states in enumerate(zip(received.states, expected.states, strict=True))
    ]
    if received.scores is not None and expected.scores is not None:
        pairs.append(("scores", received.scores, expected.scores))
    return [
        _row(
            check,
            *words,
            bool(np.allclose(ours, theirs, atol=ABSOLUTE, rtol=RELATIVE)),
            float(np.abs(ours - theirs).max()),
        )
        for check, ours, theirs in pairs
    ]
