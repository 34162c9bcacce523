import errno
import json
import logging
import re
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from keras_geneformer import CellDataset, RankValueTokenizer
from keras_geneformer.cli import main
from keras_geneformer.testing import synthetic_cells, tiny_vocabulary
from keras_geneformer.tokenization import corpus_parts, work_directory
from keras_geneformer.tokenization.cells.arrow_format import CellFileWriter


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Parts of few cells, so that small files have several."""
    monkeypatch.setattr(corpus_parts, "PART_CELLS", 8)


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "counts"
    folder.mkdir()
    for i in range(3):
        synthetic_cells(20, seed=i).write_h5ad(folder / f"{i}.h5ad")
    return folder


def tokenizer():
    return RankValueTokenizer(tiny_vocabulary(cls=True))


def contents(directory):
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def test_the_bytes_are_the_same_for_any_number_of_workers(tmp_path, files):
    one = tmp_path / "one.dataset"
    cells = tokenizer().tokenize_files(files, one, keep_counts=True)
    assert len(contents(one)) == 9 + 3 + 3  # parts, json files, vocabulary
    for workers in (2, 3):
        tokenizer().tokenize_files(files, tmp_path / "x", workers=workers, keep_counts=True)
        assert contents(tmp_path / "x") == contents(one)
    parts = [tokenizer()(synthetic_cells(20, seed=i), keep_counts=True) for i in range(3)]
    np.testing.assert_array_equal(
        cells.token_ids, np.concatenate([part.token_ids for part in parts])
    )
    assert not list(tmp_path.glob(".*"))


def test_on_a_dask_cluster(tmp_path, files):
    distributed = pytest.importorskip("dask.distributed")
    tokenizer().tokenize_files(files, tmp_path / "one.dataset")
    local = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.Client(**local) as client:
        tokenizer().tokenize_files(files, tmp_path / "two.dataset", client=client)
    assert contents(tmp_path / "one.dataset") == contents(tmp_path / "two.dataset")


def test_equal_cell_names_are_kept_apart_by_file(tmp_path, files):
    cells = tokenizer().tokenize_files(files, tmp_path / "x.dataset")
    assert cells.obs.index.duplicated().sum() == 40
    assert not cells.obs.set_index("source_file", append=True).index.duplicated().any()


def test_counts_are_kept_beside_the_ids(tmp_path, files):
    cells = tokenizer().tokenize_files(files / "0.h5ad", tmp_path / "x.dataset", keep_counts=True)
    adata = synthetic_cells(20, seed=0)
    loaded = CellDataset.load(tmp_path / "x.dataset")
    vocabulary = tiny_vocabulary(cls=True)
    dense = adata.X.toarray() / adata.obs["n_counts"].to_numpy()[:, None] * 10_000
    for some in (cells, loaded, cells.subset([3, 1])):
        for i, name in enumerate(some.obs.index):
            columns = vocabulary.positions_of(vocabulary.genes_of(some[i][1:-1]))
            row = dense[adata.obs_names.get_loc(name)][columns]
            assert some.counts[i][0] == some.counts[i][-1] == 0
            np.testing.assert_allclose(some.counts[i][1:-1], row, rtol=1e-5)
    assert tokenizer()(adata).counts is None
    subset = cells.subset([5, 2])
    subset.save(tmp_path / "y.dataset")
    again = CellDataset.load(tmp_path / "y.dataset")
    np.testing.assert_array_equal(again.counts[1], cells.counts[2])


_KILLED = """
    import errno, os, signal, sys
    from keras_geneformer import RankValueTokenizer
    from keras_geneformer.testing import tiny_vocabulary
    from keras_geneformer.tokenization import corpus_parts, work_directory
    from keras_geneformer.tokenization.cells.arrow_format import CellFileWriter

    corpus_parts.PART_CELLS = 8
    calls = 0

    def dying(function, survive):
        def run(*arguments):
            global calls
            calls += 1
            if calls > survive:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments)
        return run

    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    files, output, place, survive = sys.argv[1:]
    workers = 1
    if place == "full":
        CellFileWriter.write, workers = full, 2
    elif place == "worker":
        CellFileWriter.write, workers = dying(CellFileWriter.write, 0), 2
    elif place == "write":
        CellFileWriter.write = dying(CellFileWriter.write, int(survive))
    elif place == "rename":
        work_directory.os.rename = dying(os.rename, int(survive))
        # The first renaming is that of the vocabulary.
    else:
        work_directory.take_name = dying(work_directory.take_name, 0)
    tokenizer = RankValueTokenizer(tiny_vocabulary(cls=True))
    try:
        tokenizer.tokenize_files(files, output, workers=workers, skip_broken=True)
    except OSError as error:
        print(type(error).__name__, error)
"""


def in_a_process(files, output, place, survive=0):
    """With workers that are forked, and so do what they are told here."""
    command = [sys.executable, "-c", textwrap.dedent(_KILLED), str(files), str(output)]
    command += [place, str(survive)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    ("place", "survive"), [("write", 4), ("rename", 6), ("rename", 1), ("publish", 0)]
)
def test_kill_at_any_moment_and_go_on(tmp_path, files, caplog, place, survive):
    output = tmp_path / "x.dataset"
    CellDataset([[5]]).save(output)
    killed = in_a_process(files, output, place, survive)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert CellDataset.load(output)[0].tolist() == [5]
    work = tmp_path / ".x.dataset.partial"
    for place_in_work in (work, work / "parts", work / "assembled"):
        if place != "publish" or place_in_work.name != "assembled":
            with pytest.raises(FileNotFoundError):
                CellDataset.load(place_in_work)
    cells = tokenizer().tokenize_files(files, output, workers=2)
    done = {"write": 28, "rename": 60, "publish": 60}[place]
    assert f"{done} of 60 cells were tokenized by an earlier run" in caplog.messages
    tokenizer().tokenize_files(files, tmp_path / "fresh.dataset")
    assert contents(output) == contents(tmp_path / "fresh.dataset")
    assert len(cells) == 60
    assert not work.exists()


def test_a_changed_file_or_option_is_not_taken_up_again(tmp_path, files, monkeypatch, caplog):
    def fail(*_arguments):
        raise KeyboardInterrupt

    output = tmp_path / "x.dataset"
    with monkeypatch.context() as patch:
        patch.setattr(work_directory.WorkDirectory, "assemble", fail)
        with pytest.raises(KeyboardInterrupt):
            tokenizer().tokenize_files(files, output)
    assert (tmp_path / ".x.dataset.partial").is_dir()
    synthetic_cells(21, seed=7).write_h5ad(files / "1.h5ad")
    caplog.clear()
    cells = tokenizer().tokenize_files(files, output)
    assert "40 of 61 cells were tokenized by an earlier run" in caplog.messages
    assert len(cells) == 61


@pytest.mark.parametrize("workers", [1, 2])
def test_another_vocabulary_for_the_same_output(tmp_path, files, workers):
    adata = synthetic_cells(20, seed=0)
    adata.var["ensembl_id"] = ["another name", *adata.var["ensembl_id"][1:]]
    adata.write_h5ad(files / "0.h5ad")
    plain, alias = tiny_vocabulary(), tiny_vocabulary()
    first = synthetic_cells(20, seed=0).var["ensembl_id"].iloc[0]
    alias.aliases["ANOTHER NAME"] = first
    assert plain.checksum == alias.checksum
    for vocabulary in (tiny_vocabulary(cls=True), plain, alias):
        cells = RankValueTokenizer(vocabulary).tokenize_files(
            files, tmp_path / "x.dataset", workers=workers
        )
        expected = RankValueTokenizer(vocabulary)(adata)
        assert cells.subset(range(20)).token_ids.tolist() == expected.token_ids.tolist()


def test_two_writers(tmp_path, files):
    output = tmp_path / "x.dataset"
    with work_directory.work_directory(output, lambda path: False) as directory:
        with pytest.raises(BlockingIOError) as caught:
            tokenizer().tokenize_files(files, output)
        (directory / "assembled").mkdir()
    assert str(caught.value) == (
        f"{output} is being written by another process: wait for it, or choose another output"
    )


def test_a_truncated_file_among_others_the_others_finish_and_it_is_named(
    tmp_path, files, capfd, caplog
):
    broken = files / "1.h5ad"
    broken.write_bytes(broken.read_bytes()[:-3000])
    vocabulary = tiny_vocabulary()
    vocabulary.save(tmp_path / "vocabulary")
    arguments = ["tokenize", str(files), "--vocabulary", str(tmp_path / "vocabulary")]
    output = tmp_path / "x.dataset"
    assert main([*arguments, "--output", str(output), "--workers", "2"]) == 1
    out, err = capfd.readouterr()
    assert f"left out: {broken} is truncated or damaged: " in out
    assert f"left out: {broken} is truncated or damaged: " in caplog.text
    assert err.strip().endswith("1 files were left out, see above")
    cells = CellDataset.load(output)
    assert len(cells) == 40
    assert [file.name for file in cells.report.broken] == [str(broken)]
    assert cells.obs["source_file"].cat.categories.tolist() == [
        str(files / "0.h5ad"),
        str(files / "2.h5ad"),
    ]
    with pytest.raises(ValueError, match=rf"^{re.escape(str(broken))} is truncated or damaged: "):
        RankValueTokenizer(vocabulary).tokenize_files(files, tmp_path / "y.dataset")
    assert not (tmp_path / "y.dataset").exists()


def test_a_file_that_breaks_in_its_middle_is_left_out_whole(tmp_path, files, caplog):
    adata = synthetic_cells(30, seed=1)
    adata.X = adata.X.toarray()
    adata.X[25, 3] = np.nan
    adata.write_h5ad(files / "1.h5ad")
    message = f"{files / '1.h5ad'} has values that are no numbers: nan in cell 'cell25'"
    for workers in (1, 2):
        cells = tokenizer().tokenize_files(
            files, tmp_path / "x.dataset", workers=workers, skip_broken=True
        )
        assert len(cells) == 40
        assert cells.report.broken[0].error.startswith(message)
        assert caplog.records[-1].levelno == logging.ERROR
    with pytest.raises(ValueError, match=re.escape(message)):
        tokenizer().tokenize_files(files, tmp_path / "y.dataset")
    adata.X[25, 3] = 1
    adata.write_h5ad(files / "1.h5ad")
    caplog.clear()
    assert len(tokenizer().tokenize_files(files, tmp_path / "y.dataset")) == 70
    assert "40 of 70 cells were tokenized by an earlier run" in caplog.messages


def test_all_files_broken(tmp_path, files):
    for path in files.iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"0\.h5ad is empty .*\n.*1\.h5ad is empty .*\n"):
        tokenizer().tokenize_files(files, tmp_path / "x.dataset", skip_broken=True)
    assert [path.name for path in tmp_path.iterdir()] == ["counts"]


def test_disk_full(tmp_path, files, monkeypatch):
    output = tmp_path / "x.dataset"
    CellDataset([[5]]).save(output)
    write, written = CellFileWriter.write, []

    def full(self, *arguments):
        written.append(1)
        if len(written) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(CellFileWriter, "write", full)
        with pytest.raises(OSError, match="cannot be written") as caught:
            tokenizer().tokenize_files(files, output, skip_broken=True)
    message = (
        f"{output} cannot be written: No space left on device. Finished parts are kept: make "
        "room and run again"
    )
    assert str(caught.value) == message
    assert CellDataset.load(output)[0].tolist() == [5]
    assert in_a_process(files, output, "full").stdout == f"OSError {message}\n"
    assert len(tokenizer().tokenize_files(files, output)) == 60


def test_a_worker_that_is_killed(tmp_path, files):
    said = in_a_process(files, tmp_path / "x.dataset", "worker").stdout
    assert said == (
        "ChildProcessError a worker process was killed, perhaps as memory ran out: run again with "
        "fewer workers. Finished parts are kept\n"
    )
    assert not (tmp_path / "x.dataset").exists()


def test_messages_of_workers_are_said_once(tmp_path, files, caplog):
    for path in files.iterdir():
        adata = synthetic_cells(20)
        counts = adata.X.toarray()
        counts[3] = 0
        adata.X = counts
        adata.obs.loc["cell3", "n_counts"] = 0
        adata.write_h5ad(path)
    tokenizer().tokenize_files(files, tmp_path / "x.dataset", workers=2)
    dropped = [message for message in caplog.messages if "dropped 1 cells" in message]
    assert [message.split(":")[0] for message in dropped] == [
        str(files / f"{i}.h5ad") for i in range(3)
    ]


def test_a_matrix_that_has_to_be_copied_is_copied_once(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="keras_geneformer.tokenization")
    adata = synthetic_cells(20)
    adata.X = sp.csc_matrix(adata.X * 7.3)
    adata.write_h5ad(tmp_path / "csc.h5ad")
    cells = tokenizer().tokenize_files(tmp_path / "csc.h5ad", tmp_path / "x.dataset")
    assert cells.token_ids.tolist() == tokenizer()(adata).token_ids.tolist()
    copies = [m for m in caplog.messages if "so it is copied to" in m]
    assert len(copies) == 1
    assert sum("are no integers; taken as estimated" in m for m in caplog.messages) == 2
    adata.X.data = np.log1p(adata.X.data)
    adata.write_h5ad(tmp_path / "csc.h5ad")
    with pytest.raises(ValueError, match=r"csc\.h5ad looks log-normalised or otherwise transf"):
        tokenizer().tokenize_files(tmp_path / "csc.h5ad", tmp_path / "x.dataset")


def test_a_dataset_saved_again_has_the_same_fingerprint(tmp_path, files):
    cells = tokenizer().tokenize_files(files, tmp_path / "x.dataset")
    cells.save(tmp_path / "a")
    cells.save(tmp_path / "b")
    cells.subset(np.arange(60)[::-1]).save(tmp_path / "c")
    prints = [
        json.loads((tmp_path / name / "state.json").read_text())["_fingerprint"] for name in "abc"
    ]
    assert prints[0] == prints[1] != prints[2]
    assert isinstance(cells.obs, pd.DataFrame)
