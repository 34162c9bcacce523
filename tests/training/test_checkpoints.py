import json
import signal
import subprocess
import sys
import textwrap
import time

import keras
import numpy as np
import pytest

from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.training.checkpoints import Checkpoints
from keras_geneformer.training.pretraining import pretrain

pytestmark = pytest.mark.tensors

# A run with dropout, in a process of its own; dies in its step `die`, or says when it begins one.
_RUN = """
    import contextlib, os, signal, sys
    with contextlib.suppress(ImportError):
        # PyTorch imports it at exit, where its first import makes Python forget the interruption.
        import tabulate
    import keras
    import numpy as np
    from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary
    from keras_geneformer.tokenization.cells.dataset import CellDataset
    from keras_geneformer.training import pretraining

    folder, die, wait = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "wait"
    compile_step = pretraining.compile_distributed_step

    def watched(*arguments):
        step, count = compile_step(*arguments), [0]
        def run(batch):
            count[0] += 1
            if count[0] == die:
                os.kill(os.getpid(), signal.SIGKILL)
            if wait:
                print("step", flush=True)
                import time; time.sleep(0.05)
            return step(batch)
        return run

    pretraining.compile_distributed_step = watched
    keras.utils.set_random_seed(1)
    backbone = tiny_backbone(num_layers=1, dropout=0.1, attention_dropout=0.1)
    # All of one length: JAX compiles a step for each.
    cells = CellDataset([ids[:30] for ids in synthetic_dataset(40)], vocabulary=tiny_vocabulary())
    result = pretraining.pretrain(backbone, cells, epochs=3, batch_size=8, seed=3, ema=0.9,
                      checkpoints=folder, checkpoint_every=4, progress=False)
    weights = [np.asarray(w) for w in result.model.get_weights()]
    np.savez(os.path.join(folder, "weights.npz"), *weights)
    result.history.drop(columns="seconds").to_parquet(os.path.join(folder, "result.parquet"))
"""


def command(folder, die=0, wait=False):
    arguments = [str(folder), str(die), "wait" if wait else "go"]
    return [sys.executable, "-c", textwrap.dedent(_RUN), *arguments]


def outcome(folder):
    import pandas as pd

    stored = np.load(folder / "weights.npz")
    return [stored[name] for name in stored], pd.read_parquet(folder / "result.parquet")


def test_killed_and_resumed_gives_the_uninterrupted_run_bit_for_bit(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole), check=True, timeout=600)
    result = subprocess.run(command(killed, 11), timeout=600, check=False)  # in the third epoch
    assert result.returncode == -signal.SIGKILL
    steps = [json.loads(p.read_text())["step"] for p in sorted(killed.glob("check*/progress.json"))]
    assert steps == [4, 8]
    subprocess.run(command(killed), check=True, timeout=600)
    (weights, history), (expected, all_of_it) = outcome(killed), outcome(whole)
    assert history.equals(all_of_it)
    assert len(history) == 15
    for one, other in zip(weights, expected):
        np.testing.assert_array_equal(one, other)


# PyTorch starts fastest; what hears the signals is the same on all.
SIGNALS = [(signal.SIGTERM, 0), (signal.SIGINT, -signal.SIGINT)]


@pytest.mark.parametrize(
    ("number", "code"), SIGNALS if keras.config.backend() == "torch" else SIGNALS[:1]
)
def test_told_to_end_it_saves_and_ends_as_told(tmp_path, number, code):
    process = subprocess.Popen(command(tmp_path, wait=True), stdout=subprocess.PIPE, text=True)
    for _ in range(2):
        assert process.stdout.readline() == "step\n"
    time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=300)
    assert process.returncode == code
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    assert 2 <= json.loads((checkpoint / "progress.json").read_text())["step"] <= 4


def cells_of_one_length():
    return CellDataset([ids[:30] for ids in synthetic_dataset(16)], vocabulary=tiny_vocabulary())


def run(folder, **options):
    options = {"steps": 3, "batch_size": 8, "checkpoint_every": 1, "progress": False} | options
    model = tiny_backbone(num_layers=1)
    return pretrain(model, cells_of_one_length(), checkpoints=folder, **options)


def test_so_many_are_kept(tmp_path):
    run(tmp_path, keep_checkpoints=2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-000000002", "checkpoint-000000003"]
    again = run(tmp_path)
    assert again.history["step"].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match=r"^Received keep=0; expected 1 or more checkpoints"):
        run(tmp_path, keep_checkpoints=0)


def test_another_run_is_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match=r"holds checkpoints of another run \(seed 0 there, 1 he"):
        run(tmp_path, seed=1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_layers": 2}, "num_layers 1 there, 2 here"),
        ({"dropout": 0.3}, r"dropout \S+ there, 0.3"),
    ],
)
def test_another_model_is_refused(tmp_path, changes, said):
    run(tmp_path)
    model = GeneformerMaskedLM(tiny_backbone(**({"num_layers": 1} | changes)))
    with pytest.raises(ValueError, match=rf"holds checkpoints of another run \(.*{said}"):
        pretrain(
            model,
            cells_of_one_length(),
            steps=3,
            batch_size=8,
            checkpoints=tmp_path,
            progress=False,
        )


def test_weights_to_begin_with_and_the_rate_belong_to_a_run(tmp_path):
    run(tmp_path, began_with="a")
    with pytest.raises(ValueError, match=r"another run \(began_with 'a' there, 'b' here\): "):
        run(tmp_path, began_with="b")
    with pytest.raises(ValueError, match=r"another run \(peak 0.001 there, 0.002 here\): "):
        run(tmp_path, began_with="a", learning_rate=0.002)


def test_processes_that_see_unlike_states_are_told(tmp_path):
    checkpoints = Checkpoints(tmp_path, {}, told_by_all=lambda number: [number, 7])
    with pytest.raises(ValueError, match=r"find states after steps \[0, 7\] in .*one folder that"):
        checkpoints.restore(None)


def test_a_damaged_state_is_named(tmp_path):
    run(tmp_path, keep_checkpoints=1)
    state = tmp_path / "checkpoint-000000003" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"state\.safetensors is damaged \(.*\): remove "):
        run(tmp_path)


def test_a_loss_that_is_no_number_leaves_the_last_good_state(tmp_path, monkeypatch):
    from keras_geneformer.training import pretraining

    compile_step = pretraining.compile_distributed_step

    def broken(*arguments):
        step, count = compile_step(*arguments), iter(range(99))
        return lambda batch: step(batch) | ({"loss": np.nan} if next(count) == 2 else {})

    monkeypatch.setattr(pretraining, "compile_distributed_step", broken)
    with pytest.raises(FloatingPointError, match=r"at step 3: lower .* in \S*checkpoint-000000002"):
        run(tmp_path)


def test_weights_that_are_no_numbers_are_not_kept(tmp_path, monkeypatch):
    from keras_geneformer.training import pretraining

    compile_step = pretraining.compile_distributed_step

    def broken(model, *arguments):
        step, count = compile_step(model, *arguments), iter(range(99))

        def one(batch):
            logs = step(batch)
            if next(count) == 1:
                weight = model.trainable_variables[0]
                weight.assign(weight * np.nan)
            return logs

        return one

    monkeypatch.setattr(pretraining, "compile_distributed_step", broken)
    message = r"^Weights are no longer finite after step 2, .* state is \S*checkpoint-000000001\.$"
    with pytest.raises(FloatingPointError, match=message):
        run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000000001"]


class Interrupted(keras.callbacks.Callback):
    """Breaks off after the second step."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            raise InterruptedError(len(self.model.masked_lm.get_weights()))


def test_keras_fit_goes_on_where_it_was_stopped_and_validates(tmp_path):
    # The one batch of longer cells of an epoch is among its first two: where the run goes on, two
    # batches of one length come first. JAX compiles a step for each length.
    longer = 60 if keras.config.backend() == "tensorflow" else 30
    ids = [ids[: longer if n < 4 else 30] for n, ids in enumerate(synthetic_dataset(16))]
    cells = CellDataset(ids, vocabulary=tiny_vocabulary())

    def train(**options):
        keras.utils.set_random_seed(1)
        model = tiny_backbone(num_layers=1)
        options = {"epochs": 2, "batch_size": 4, "validation": cells, "progress": False} | options
        return pretrain(model, cells, **options).history.drop(columns="seconds")

    expected = train()
    options = {"driver": "fit", "checkpoints": tmp_path, "checkpoint_every": 1}
    with pytest.raises(InterruptedError):  # the weights are there to be read
        train(callbacks=[Interrupted()], **options)
    history = train(**options)
    assert list(history) == list(expected)
    np.testing.assert_allclose(history, expected, atol=1e-5)
    assert history["validation_loss"].notna().tolist() == [False, False, False, True] * 2
