"""The states that a perturbation may move a cell towards, by a column of obs, checked."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

_KEYS = ("obs_key", "start", "goal", "alternatives", "vectors")
_EXPECTED = (
    'expected {"obs_key": a column of obs, "start": value, "goal": value} and, if wanted, '
    '"alternatives": [values]'
)


@dataclass(frozen=True, eq=False)
class States:
    """A start, a goal and alternative states of cells, values of one column of obs.

    Values are compared as text, so that the number 5 is the state "5". Cells without a value are
    in no state.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset
        >>> cells = synthetic_dataset(9)
        >>> given = {"obs_key": "cell_type", "start": "B cell", "goal": "T cell"}
        >>> states = States.of(given, cells)
        >>> states.names, states.rows(cells, "T cell").tolist()
        (['B cell', 'T cell'], [1, 4, 7])
    """

    obs_key: str
    """Column of obs."""
    start: str
    """The state of the cells that are perturbed."""
    goal: str
    """The state that they are to move towards."""
    alternatives: tuple[str, ...] = ()
    """States that they may move towards as well."""
    vectors: pd.DataFrame | None = None
    """Embeddings of the states, as `embed_states` gives them; None where they are to be made."""

    @classmethod
    def of(cls, states: Any, cells: Any) -> Self | None:
        """States as they are given to `perturb`, checked against the cells.

        Args:
            states: a mapping of `obs_key`, `start`, `goal`, and optionally `alternatives` and
                `vectors` (a DataFrame of `embed_states`; then the goal and the alternatives need
                no cells here); or None.
            cells: a `CellDataset` with the column in its obs.

        Returns:
            The states; None for None.

        Raises:
            ValueError: states of another kind, or a classifier or model; an unknown or missing
                entry; no such column; a state in no cell, or in a single one; two states that are
                one.
        """
        if states is None or isinstance(states, cls):
            return states
        if not isinstance(states, Mapping):
            raise ValueError(_not_states(states))
        unknown = [str(key) for key in states if key not in _KEYS]
        if unknown:
            raise ValueError(f"states has unknown entries {', '.join(unknown)}; {_EXPECTED}.")
        missing = [key for key in ("obs_key", "start", "goal") if states.get(key) is None]
        if missing:
            raise ValueError(f"states lacks {', '.join(missing)}; {_EXPECTED}.")
        others = states.get("alternatives")
        others = [] if others is None else others
        if isinstance(others, (str, int, float)):
            others = [others]
        made = cls(
            str(states["obs_key"]),
            str(states["start"]),
            str(states["goal"]),
            tuple(str(other) for other in others),
            states.get("vectors"),
        )
        made._check_names()
        made._check_cells(cells)
        if made.vectors is not None:
            made._check_vectors()
        return made

    @property
    def names(self) -> list[str]:
        """All states: the start, the goal, the alternatives."""
        return [self.start, self.goal, *self.alternatives]

    def rows(self, cells: Any, name: str) -> np.ndarray:
        """Which cells are in a state: their rows, int64."""
        return np.flatnonzero(_values(cells, self.obs_key) == name)

    def described(self) -> dict[str, Any]:
        """The states as plain values, without the vectors."""
        return {
            "obs_key": self.obs_key,
            "start": self.start,
            "goal": self.goal,
            "alternatives": list(self.alternatives),
        }

    def _check_names(self) -> None:
        if self.goal == self.start:
            raise ValueError(
                f"The states start and goal are both {self.start!r}; expected two different ones."
            )
        for role, name in (("start", self.start), ("goal", self.goal)):
            if name in self.alternatives:
                raise ValueError(
                    f"The state {name!r} is the {role} and among the alternatives "
                    f"({', '.join(self.alternatives)}); leave it out of these."
                )
        twice = [name for name in self.alternatives if self.alternatives.count(name) > 1]
        if twice:
            raise ValueError(f"The state {twice[0]!r} is twice among the alternatives.")

    def _check_cells(self, cells: Any) -> None:
        columns = list(map(str, cells.obs.columns))
        if self.obs_key not in columns:
            raise ValueError(
                f"obs has no column {self.obs_key!r}, which obs_key of states names; it has "
                f"{', '.join(columns) or 'no columns'}."
            )
        values = _values(cells, self.obs_key)
        found, counts = np.unique(values[values != ""], return_counts=True)
        number = dict(zip(found.tolist(), counts.tolist()))
        needed = self.names if self.vectors is None else [self.start]
        for name in needed:
            if name not in number:
                there = ", ".join(found[:20]) + (", …" if len(found) > 20 else "")
                raise ValueError(
                    f"No cell is in the state {name!r}: obs[{self.obs_key!r}] holds {there}."
                )
            if number[name] == 1 and self.vectors is None:
                raise ValueError(
                    f"Only one cell is in the state {name!r} of obs[{self.obs_key!r}]; a state is "
                    "the mean of two cells or more."
                )
        contents: dict[str, str] = {}
        sizes = [number[name] for name in needed]
        for name in needed:
            if sizes.count(number[name]) == 1:
                continue
            content = _content(cells, self.rows(cells, name))
            if content in contents:
                raise ValueError(
                    f"The states {contents[content]!r} and {name!r} hold the same cells, token for "
                    "token, so that nothing can move from one to the other."
                )
            contents[content] = name

    def _check_vectors(self) -> None:
        vectors = self.vectors
        if not isinstance(vectors, pd.DataFrame):
            raise ValueError(
                f"The vectors of states are a {type(vectors).__name__}; expected the DataFrame "
                "that embed_states gives."
            )
        index = [str(name) for name in vectors.index]
        twice = [name for name in self.names if index.count(name) > 1]
        if twice:
            raise ValueError(
                f"The vectors of states have two rows for {twice[0]}; expected one each."
            )
        missing = [name for name in self.names if name not in index]
        if missing:
            raise ValueError(
                f"The vectors of states have no row for {', '.join(missing)}; they have "
                f"{', '.join(index)}."
            )
        rows = vectors.to_numpy(dtype=np.float64)[[index.index(name) for name in self.names]]
        if not np.isfinite(rows).all():
            raise ValueError("The vectors of states hold values that are not finite.")
        for number, name in enumerate(self.names):
            for before in range(number):
                if np.array_equal(rows[before], rows[number]):
                    raise ValueError(
                        f"The states {self.names[before]!r} and {name!r} have the same vector, so "
                        "that nothing can move from one to the other."
                    )


def read_states(path: str | os.PathLike) -> dict[str, Any]:
    """States from a json file, as `perturb` takes them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not json, or no object.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no states at {path}; {_EXPECTED} in a json file")
    try:
        states = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not json ({error}); {_EXPECTED}") from None
    if not isinstance(states, dict):
        raise ValueError(f"{path} holds a {type(states).__name__}; {_EXPECTED}")
    return states


def _values(cells: Any, key: str) -> np.ndarray:
    """The column as text, "" where a value is missing."""
    column = cells.obs[key]
    return np.where(column.isna(), "", column.astype(str)).astype(str)


def _content(cells: Any, rows: np.ndarray) -> str:
    """A checksum of cells that does not depend on their order."""
    lists = (np.asarray(cells[int(row)], dtype=np.int64).tobytes() for row in rows)
    digests = sorted(hashlib.sha256(one).digest() for one in lists)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _not_states(states: Any) -> str:
    if isinstance(states, (str, os.PathLike)):
        if str(states).endswith(".json"):
            return (
                f"Received states={str(states)!r}, a file; {_EXPECTED}. In Python, read it with "
                "json.load."
            )
        return (
            f"Received states={str(states)!r}; {_EXPECTED}. A classifier is no state: give it as "
            "classifier=."
        )
    if hasattr(states, "backbone") or hasattr(states, "hidden_state_model"):
        return (
            f"Received a {type(states).__name__} for states; {_EXPECTED}. A classifier is no "
            "state: give it as classifier=."
        )
    return f"Received a {type(states).__name__} for states; {_EXPECTED}."
