"""Where tests find the shared folder, and what happens where it is absent."""

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


def _shared() -> Path | None:
    """The shared folder: `KERAS_GENEFORMER_SHARED`, taken from the project's root when relative."""
    path = (PROJECT / os.environ.get("KERAS_GENEFORMER_SHARED", "../shared")).resolve()
    if (path / "reference").is_dir() and (path / "data").is_dir():
        return path
    reason = f"no shared data at {path} (set KERAS_GENEFORMER_SHARED)"
    if os.environ.get("KERAS_GENEFORMER_REQUIRE_SHARED") == "1":
        pytest.fail(f"KERAS_GENEFORMER_REQUIRE_SHARED=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder of real data and reference outputs; skips, or in CI fails, without it."""
    return _shared()


@pytest.fixture(scope="session")
def reference(shared: Path) -> Path:
    return shared / "reference"


@pytest.fixture(scope="session")
def counts(shared: Path) -> Path:
    return shared / "data" / "counts"


@pytest.fixture(scope="session")
def dictionaries(shared: Path) -> Path:
    return shared / "data" / "dictionaries" / "pickles"
