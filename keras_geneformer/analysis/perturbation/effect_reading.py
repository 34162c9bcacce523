"""Reads files of effects, whole or in part."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from keras_geneformer.analysis.perturbation.effect_parts import COLUMNS, described


def read_effects(
    path: str | os.PathLike,
    columns: Sequence[str] | None = None,
    measure: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read a file of effects.

    Picture: `kg.plotting.perturbation_effects`.

    Args:
        path: a `.parquet` that `perturb` or `perturb_merge` wrote, or the same table as `.csv`.
        columns: only these.
        measure: only rows of this measure, or of these.

    Returns:
        Columns `cell`, `gene`, `token`, `kind`, `measure`, `state` and `value`, in the file's
        order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no effects, or has no such column.
    """
    path = Path(path)
    wanted = list(COLUMNS if columns is None else columns)
    unknown = [name for name in wanted if name not in COLUMNS]
    if unknown:
        raise ValueError(f"Effects have no columns {unknown}; expected of {', '.join(COLUMNS)}")
    measures = [measure] if isinstance(measure, str) else measure
    if path.suffix == ".csv":
        return _read_csv(path, wanted, measures)
    effects_schema(path)
    filters = None if measures is None else [("measure", "in", list(measures))]
    try:
        table = pq.read_table(path, columns=wanted, filters=filters, partitioning=None)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}. Perturb or copy it again") from error
    return table.select(wanted).replace_schema_metadata(None).to_pandas()


def effects_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """What a parquet file of effects says of the run that it is of.

    Returns:
        `settings`, `states` (None without), `vocabulary_checksum`, `model_checksum`,
        `cells_checksum`, `shard` (None of a whole run) and `complete`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no effects.
    """
    return described(effects_schema(Path(path)))


def effects_schema(path: Path) -> pa.Schema:
    """The schema of a file of effects."""
    if not path.is_file():
        raise FileNotFoundError(f"no effects at {path}; expected a file that perturb wrote")
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(
            f"{path} is no parquet file, or damaged: {error}. Perturb or copy it again"
        ) from error
    absent = [name for name in COLUMNS if name not in schema.names]
    if absent:
        raise ValueError(
            f"{path} holds no effects: it has no columns {', '.join(absent)} (it has "
            f"{', '.join(schema.names)})"
        )
    return schema


def _read_csv(path: Path, columns: list[str], measures: Sequence[str] | None) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"no effects at {path}; expected a file that perturb wrote")
    names = pd.read_csv(path, nrows=0).columns
    absent = [name for name in COLUMNS if name not in names]
    if absent:
        raise ValueError(
            f"{path} holds no effects: it has no columns {', '.join(absent)} (it has "
            f"{', '.join(map(str, names))})"
        )
    types: Any = dict.fromkeys(COLUMNS, "str") | {"token": "int64", "value": "float64"}
    missing: Any = {"value": ["", "nan"]}
    table = pd.read_csv(
        path,
        dtype=types,
        keep_default_na=False,
        na_values=missing,
        float_precision="round_trip",
    )
    if measures is not None:
        table = table[table["measure"].isin(measures)].reset_index(drop=True)
    return table[columns]
