"""The verb `perturb`, killed and run again: the same file as of a run that was never stopped."""

import json
import os
import signal
import subprocess
import sys
import time

import keras
import pytest

from keras_geneformer.analysis.perturbation.effect_files import read_effects
from keras_geneformer.cli import main
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary

pytestmark = [
    pytest.mark.tensors,
    pytest.mark.skipif(
        keras.backend.backend() != "torch", reason="files are written alike on every backend"
    ),
]

# Parts of few rows, and after each time to be killed in.
SLOW = """
import sys, time
from keras_geneformer.analysis.perturbation import effect_files
from keras_geneformer.cli import main
write = effect_files.write_part
def slowly(*arguments):
    part = write(*arguments)
    time.sleep(0.5)
    return part
effect_files.PART_ROWS = 150
effect_files.write_part = slowly
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    model, cells, states = folder / "model", folder / "x.dataset", folder / "states.json"
    tiny_backbone(num_layers=1).save_to_preset(model, tiny_vocabulary())
    synthetic_dataset(18).save(cells)
    given = {"obs_key": "cell_type", "start": "B cell", "goal": "T cell"}
    states.write_text(json.dumps(given | {"alternatives": ["monocyte"]}))
    asked = ("--kind", "delete", "--genes", "all", "--states", states, "--output")
    return [str(part) for part in ("perturb", model, cells, *asked)]


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "shifts.parquet"
    assert main([*command, str(output)]) == 0
    return output


def parts_of(output):
    return list(output.with_name(output.name + ".parts").glob("part-*"))


def test_a_killed_run_goes_on_to_the_same_file(command, whole, tmp_path, capsys):
    output = tmp_path / "shifts.parquet"
    environment = os.environ | {"KERAS_BACKEND": "torch"}
    arguments = [sys.executable, "-c", SLOW, *command, str(output)]
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE)
    limit = time.monotonic() + 60
    while not parts_of(output) and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    said = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, said
    assert not output.exists()
    before = parts_of(output)
    assert 0 < len(before) < 6

    assert main([*command, str(output)]) == 0
    assert "strongest (shift of the cosine towards T cell" in capsys.readouterr().out
    effects = read_effects(whole)
    assert effects["cell"].nunique() == 6
    assert set(effects["measure"]) == {"cell_cosine", "state_shift"}
    assert output.read_bytes() == whole.read_bytes()
    assert not parts_of(output)


def test_shards_are_merged_to_the_same_file(command, whole, tmp_path):
    shards = [tmp_path / f"shard{number}.parquet" for number in (1, 2)]
    for number, shard in enumerate(shards, 1):
        assert main([*command, str(shard), "--shard", f"{number}/2"]) == 0
    merged = tmp_path / "all.parquet"
    assert main(["perturb-merge", *map(str, shards), "--output", str(merged)]) == 0
    assert merged.read_bytes() == whole.read_bytes()
