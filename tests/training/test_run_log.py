import sys

import pandas as pd
import pytest

from keras_geneformer.training.run_log import RunLog

pytestmark = pytest.mark.tensors


def rows(first, last):
    return [
        {"step": step, "epoch": 1, "loss": 7.0 - step / 10, "tokens": 300, "seconds": step * 2.0}
        for step in range(first, last + 1)
    ]


def scalars(folder):
    """Every point of every scalar, from all event files: (step, value) by tag."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    points: dict[str, list] = {}
    for path in sorted((folder / "tensorboard").iterdir()):
        events = reader.EventAccumulator(str(path), size_guidance={"scalars": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            points.setdefault(tag, []).extend((e.step, e.value) for e in events.Scalars(tag))
    return points


def test_a_row_is_on_disk_when_it_is_added(tmp_path):
    log = RunLog(tmp_path / "log")
    for row in rows(1, 2):
        log.add(row)
        table = pd.read_csv(tmp_path / "log" / "log.csv")
        assert table["step"].tolist() == list(range(1, row["step"] + 1))
    log.add({"step": 3, "epoch": 1, "loss": 1 / 3, "validation_loss": 0.1, "extra": 5})
    log.add({"step": 4, "epoch": 2, "loss": 6.0})
    log.close()
    table = pd.read_csv(tmp_path / "log" / "log.csv")
    assert table["loss"].tolist() == [6.9, 6.8, 1 / 3, 6.0]
    assert table["validation_loss"].notna().tolist() == [False, False, True, False]
    assert table["extra"].fillna(0).tolist() == [0, 0, 5, 0]
    assert [path.name for path in (tmp_path / "log").iterdir()] == ["log.csv"]


def test_a_resumed_run_has_each_step_once_and_no_half_row(tmp_path):
    log = RunLog(tmp_path)
    for row in rows(1, 6):
        log.add(row)
    log.close()
    with open(tmp_path / "log.csv", "a") as file:
        file.write("7,1,6.")  # killed here
    log = RunLog(tmp_path, rows(1, 4))
    assert pd.read_csv(tmp_path / "log.csv")["step"].tolist() == [1, 2, 3, 4]
    log.add(rows(5, 5)[0])
    log.close()
    whole = pd.read_csv(tmp_path / "log.csv")
    assert whole["step"].tolist() == [1, 2, 3, 4, 5]
    assert whole["loss"].tolist() == pytest.approx([6.9, 6.8, 6.7, 6.6, 6.5])


def test_tensorboard_has_each_point_once_after_a_resume(tmp_path):
    pytest.importorskip("tensorboard")
    first = RunLog(tmp_path, tensorboard=True)
    for row in rows(1, 6):
        first.add(row)  # and killed: not closed
    (tmp_path / "tensorboard" / "events.out.tfevents.1.others").write_bytes(b"")
    log = RunLog(tmp_path, rows(1, 4), tensorboard=True)
    log.add(rows(5, 5)[0] | {"loss": 3.0, "validation_loss": 5.0, "validation_top5": 0.5})
    log.close()
    first.close()
    points = scalars(tmp_path)
    assert [step for step, _ in points["train/loss"]] == [1, 2, 3, 4, 5]
    assert [value for _, value in points["train/loss"]] == pytest.approx([6.9, 6.8, 6.7, 6.6, 3.0])
    assert points["train/tokens_per_second"] == [(step, 150.0) for step in range(1, 6)]
    assert points["validation/loss"] == [(5, 5.0)]
    assert set(points) == {
        *("train/loss", "train/tokens_per_second", "validation/loss", "validation/top5")
    }
    assert (tmp_path / "tensorboard" / "events.out.tfevents.1.others").exists()


def test_without_tensorboard_it_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
    message = (
        r"^TensorBoard's scalars need the package tensorboard: "
        r"pip install 'keras_geneformer\[tensorboard\]'$"
    )
    with pytest.raises(ImportError, match=message):
        RunLog(tmp_path, tensorboard=True)
    RunLog(tmp_path).close()
