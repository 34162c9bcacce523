import errno
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from keras_geneformer.analysis.perturbation import effect_files, effect_parts
from keras_geneformer.analysis.perturbation.effect_files import (
    EffectsWriter,
    effects_metadata,
    read_effects,
)

SETTINGS = {"kind": "delete", "layer": -2, "vocabulary_checksum": "v", "shard": None}
STATES = {"obs_key": "day", "start": "2", "goal": "5", "alternatives": []}


def effects_of(row):
    """Seven effects of every cell but each third, which has none."""
    rng = np.random.default_rng(row)
    tokens = rng.integers(2, 90, 0 if row % 3 == 2 else 7)
    return pd.DataFrame(
        {
            "cell": f"cell{row}",
            "gene": [f"ENSG{token}" for token in tokens],
            "token": tokens,
            "kind": "delete",
            "measure": np.where(tokens % 2, "cell_cosine", "screen"),
            "state": "original",
            "value": rng.normal(size=len(tokens)),
        }
    )


def write(output, rows, *, resume=True, settings=SETTINGS, finish=True):
    with EffectsWriter(output, settings, resume) as writer:
        for row in rows:
            if row not in writer.done():
                writer.add(row, effects_of(row))
        return writer.finish() if finish else None


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(effect_files, "PART_ROWS", 10)
    monkeypatch.setattr(effect_parts, "ROW_GROUP", 16)


def test_all_effects_are_read_back(tmp_path, small):
    output = write(tmp_path / "effects.parquet", range(9))
    expected = pd.concat([effects_of(row) for row in range(9)], ignore_index=True)
    pd.testing.assert_frame_equal(read_effects(output), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["effects.parquet"]
    some = read_effects(output, columns=["value", "cell"], measure="screen")
    wanted = expected[expected["measure"] == "screen"].reset_index(drop=True)
    pd.testing.assert_frame_equal(some, wanted[["value", "cell"]])


def test_the_file_says_what_it_is_of(tmp_path):
    output = write(tmp_path / "effects.parquet", range(2), settings=SETTINGS | {"states": STATES})
    assert effects_metadata(output) == {
        "settings": {"kind": "delete", "layer": -2},
        "states": STATES,
        "vocabulary_checksum": "v",
        "model_checksum": None,
        "cells_checksum": None,
        "shard": None,
        "complete": True,
    }


def test_a_run_that_was_stopped_ends_in_the_same_bytes(tmp_path, small):
    whole = write(tmp_path / "whole.parquet", range(12))
    output = tmp_path / "stopped.parquet"
    # Not in order: shards of the work may come from anywhere.
    for rows in ([5, 6, 7, 8], [0, 2], [1]):
        write(output, rows, finish=False)
        assert not output.exists()
    writer = EffectsWriter(output, SETTINGS)
    assert writer.done() == {5, 6, 7, 8, 0, 2, 1}
    for row in {3, 4, 9, 10, 11}:
        writer.add(row, effects_of(row))
    assert writer.finish().read_bytes() == whole.read_bytes()


def test_what_was_collected_is_kept_where_the_run_fails(tmp_path):
    output = tmp_path / "effects.parquet"

    def fail():
        with EffectsWriter(output, SETTINGS) as writer:
            writer.add(0, effects_of(0))
            raise RuntimeError("a later cell")

    with pytest.raises(RuntimeError, match="a later cell"):
        fail()
    with EffectsWriter(output, SETTINGS) as writer:
        assert writer.done() == {0}


def test_a_run_that_fails_at_once_leaves_nothing(tmp_path):
    with EffectsWriter(tmp_path / "effects.parquet", SETTINGS):
        pass
    assert not list(tmp_path.iterdir())


def test_a_complete_output_is_left_as_it_is(tmp_path):
    output = write(tmp_path / "effects.parquet", range(3))
    before = output.stat()
    writer = EffectsWriter(output, SETTINGS)
    assert writer.finished
    assert writer.finish() == output
    assert output.stat().st_mtime_ns == before.st_mtime_ns
    assert [path.name for path in tmp_path.iterdir()] == ["effects.parquet"]
    again = EffectsWriter(output, SETTINGS | {"layer": -1}, resume=False)
    assert not again.finished
    again.add(0, effects_of(0))
    again.finish()
    assert len(read_effects(output)) == 7


def test_other_settings_are_named(tmp_path, small):
    output = tmp_path / "effects.parquet"
    write(output, range(3), finish=False)
    other = SETTINGS | {"layer": -1, "vocabulary_checksum": "w"}
    message = (
        r"effects.parquet.parts is of a run with other settings: layer \(there -2, here -1\), "
        r'vocabulary_checksum \(there "v", here "w"\)\. Give what it was begun with, choose '
    )
    with pytest.raises(ValueError, match=message):
        EffectsWriter(output, other)
    with EffectsWriter(output, SETTINGS) as writer:
        assert writer.done() == {0, 1, 2}
    write(output, range(3))
    with pytest.raises(ValueError, match=r"effects.parquet is of a run with other settings: layer"):
        EffectsWriter(output, other)


def test_a_damaged_part_is_reported(tmp_path, small):
    output = tmp_path / "effects.parquet"
    write(output, range(4), finish=False)
    part = sorted((tmp_path / "effects.parquet.parts").glob("part-*"))[0]
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    message = rf"{part.name} is damaged: its content \({len(content)} bytes\) is not what was "
    with pytest.raises(ValueError, match=message):
        EffectsWriter(output, SETTINGS)
    part.unlink()
    write(output, range(4))
    assert len(read_effects(output)) == 21


def test_a_part_twice_is_reported(tmp_path, small):
    output = tmp_path / "effects.parquet"
    write(output, range(4), finish=False)
    part = sorted((tmp_path / "effects.parquet.parts").glob("part-*"))[0]
    part.with_name(part.name.replace("000000", "000009")).write_bytes(part.read_bytes())
    with pytest.raises(ValueError, match=r"part-000000.* and .*part-000009.* both hold cell 0: a"):
        EffectsWriter(output, SETTINGS)


@pytest.mark.parametrize("resume", [True, False])
def test_what_is_not_ours_stays(tmp_path, resume):
    output = tmp_path / "effects.parquet"
    message = r"effects.parquet exists and holds no effects that perturb wrote; it is left as it is"
    output.write_text("somebody's")
    with pytest.raises(FileExistsError, match=message):
        EffectsWriter(output, SETTINGS, resume)
    output.unlink()
    effects_of(0).to_parquet(output)
    with pytest.raises(FileExistsError, match=message):
        EffectsWriter(output, SETTINGS, resume)
    output.unlink()
    parts = tmp_path / "effects.parquet.parts"
    parts.mkdir()
    (parts / "thesis.txt").write_text("somebody's")
    with pytest.raises(FileExistsError, match=r"effects.parquet.parts, where parts of effects.par"):
        EffectsWriter(output, SETTINGS, resume)
    assert (parts / "thesis.txt").read_text() == "somebody's"


def test_a_second_writer_is_refused_and_a_dead_one_is_not_waited_for(tmp_path):
    output = tmp_path / "effects.parquet"
    with EffectsWriter(output, SETTINGS) as writer:
        writer.add(0, effects_of(0))
        with pytest.raises(BlockingIOError, match=r"effects.parquet is being written by another"):
            EffectsWriter(output, SETTINGS)
        writer.finish()
    output.unlink()
    held = tmp_path / "effects.parquet.parts" / "lock"
    code = f"""
import fcntl, os, pathlib, signal
path = pathlib.Path({str(held)!r})
path.parent.mkdir()
file = path.open("w")
fcntl.flock(file, fcntl.LOCK_EX)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert held.exists()
    with EffectsWriter(output, SETTINGS) as writer:
        assert writer.done() == set()


def test_a_full_disk_keeps_what_is_there(tmp_path, small, monkeypatch):
    output = tmp_path / "effects.parquet"
    write(output, range(2), finish=False)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(effect_files, "write_part", full)
    message = (
        r"effects.parquet cannot be written \(No space left on device\)\. The effects of 2 "
        r"cells are kept in .*effects.parquet.parts: make room there, and run again to go on"
    )
    with pytest.raises(OSError, match=message):
        write(output, range(5))
    monkeypatch.undo()
    with EffectsWriter(output, SETTINGS) as writer:
        assert writer.done() == {0, 1}


def test_refuses(tmp_path):
    with pytest.raises(ValueError, match=r"Effects are written as parquet, and '.*e.csv' does not"):
        EffectsWriter(tmp_path / "e.csv", SETTINGS)
    with pytest.raises(FileNotFoundError, match=r"no effects at .*e.parquet; expected a file that"):
        read_effects(tmp_path / "e.parquet")
    (tmp_path / "e.parquet").write_text("no")
    with pytest.raises(ValueError, match=r"e.parquet is no parquet file, or damaged: "):
        effects_metadata(tmp_path / "e.parquet")
    pd.DataFrame({"cell": ["a"]}).to_parquet(tmp_path / "e.parquet")
    with pytest.raises(ValueError, match=r"e.parquet holds no effects: it has no columns gene, to"):
        read_effects(tmp_path / "e.parquet")
    with pytest.raises(ValueError, match=r"Effects have no columns \['genes'\]; expected of cell,"):
        read_effects(tmp_path / "e.parquet", columns=["genes"])
