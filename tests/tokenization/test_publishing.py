import signal
import subprocess
import sys

import pytest

from keras_geneformer.tokenization import publishing
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.publishing import publish_directory

KILLED = """
import os, signal, sys
from keras_geneformer.tokenization import publishing
from keras_geneformer.tokenization.cells import arrow_format
from keras_geneformer.tokenization.cells import dataset

def die(*_arguments, **_options):
    os.kill(os.getpid(), signal.SIGKILL)

place = sys.argv[2]
if place == "first batch":
    arrow_format.DatasetWriter.write = die
elif place == "manifests":
    arrow_format.DatasetWriter.finish = die
elif place == "name":
    publishing.take_name = die
elif place == "removal":
    publishing.shutil.rmtree = die
dataset.CellDataset([[7, 7]]).save(sys.argv[1])
"""


@pytest.mark.parametrize("earlier", [True, False])
@pytest.mark.parametrize("place", ["first batch", "manifests", "name", "removal"])
def test_a_kill_leaves_a_complete_dataset_or_none(tmp_path, place, earlier):
    path = tmp_path / "x.dataset"
    if earlier:
        CellDataset([[5]]).save(path)
    command = [sys.executable, "-c", KILLED, str(path), place]
    result = subprocess.run(command, check=False)
    if place == "removal":
        assert result.returncode == (-signal.SIGKILL if earlier else 0)
        assert CellDataset.load(path)[0].tolist() == [7, 7]
        return
    assert result.returncode == -signal.SIGKILL
    if earlier:
        assert CellDataset.load(path)[0].tolist() == [5]
    else:
        with pytest.raises(FileNotFoundError, match="no dataset directory"):
            CellDataset.load(path)
    CellDataset([[9]]).save(path)
    assert CellDataset.load(path)[0].tolist() == [9]


@pytest.mark.parametrize("exchange", [True, False])
def test_replaces_with_and_without_an_exchange_of_names(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(publishing, "_exchange", lambda *_paths: False)
    for text in ("one", "two"):
        with publish_directory(tmp_path / "d", lambda _directory: True) as partial:
            (partial / text).write_text(text)
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["two"]
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_failure_leaves_nothing(tmp_path):
    def write():
        with publish_directory(tmp_path / "d", lambda _directory: True) as partial:
            (partial / "half").write_text("")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left on device"):
        write()
    assert not list(tmp_path.iterdir())


def test_an_empty_directory_is_taken(tmp_path):
    (tmp_path / "d").mkdir()
    with publish_directory(tmp_path / "d", lambda _directory: False) as partial:
        (partial / "a").write_text("")
    assert (tmp_path / "d" / "a").exists()
