"""Several devices of one machine give the losses of one device."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_geneformer.testing import synthetic_dataset, tiny_backbone
from keras_geneformer.training.distribution import connect
from keras_geneformer.training.pretraining import pretrain

pytestmark = pytest.mark.tensors

RUNS = {
    "tensorflow": [
        {},
        {"distribute": "mirrored:2", "chunk": 16},
        {"distribute": "mirrored", "accumulate": 2},
        {"distribute": "mirrored:2", "driver": "fit", "accumulate": 2},
    ],
    "jax": [
        {},
        {"distribute": "jax-data:2", "accumulate": 2},
        {"distribute": "jax-data", "driver": "fit"},
        {"distribute": "jax-model", "chunk": 16, "accumulate": 2},
    ],
    "torch": [{}, {"accumulate": 4}, {"accumulate": 2, "driver": "fit", "chunk": 16}],
}


FINETUNINGS = {
    "tensorflow": [{"finetune": True}, {"finetune": True, "distribute": "mirrored:2"}],
    "jax": [{"finetune": True}, {"finetune": True, "distribute": "jax-data:2"}],
    "torch": [],
}


def test_every_way_of_sharing_a_batch_gives_the_same_losses(tmp_path):
    backend = keras.config.backend()
    output = tmp_path / "losses.json"
    script = Path(__file__).with_name("runs.py")
    runs = RUNS[backend]
    finetunings = FINETUNINGS[backend]
    subprocess.run(
        [sys.executable, str(script), str(output), "", *map(json.dumps, runs + finetunings)],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
        timeout=900,
    )
    found = json.loads(output.read_text())
    one, *others = found[: len(runs)]
    assert len(one["losses"]) == 20
    assert one["losses"][-1] < one["losses"][0] - 0.05
    for run, other in zip(runs[1:], others):
        np.testing.assert_allclose(other["losses"], one["losses"], atol=1e-4, err_msg=str(run))
        np.testing.assert_allclose(
            other["weights"], one["weights"], rtol=1e-3, atol=1e-3, err_msg=f"weights of {run}"
        )
    if finetunings:
        one, other = found[len(runs) :]
        np.testing.assert_allclose(other["losses"], one["losses"], atol=1e-5)
        np.testing.assert_allclose(other["weights"], one["weights"], rtol=1e-4, atol=1e-6)


def test_what_a_backend_cannot_is_refused_with_the_remedy():
    messages = {
        "torch": r"^Received distribute='mirrored' on the backend 'torch', on which Keras \S+ "
        r"trains on one device\. Set KERAS_BACKEND=jax \(and distribute='jax-data'\) or ",
        "jax": r"^Received distribute='mirrored' on the backend 'jax'; it belongs to 'tensorflow'\."
        r" Set KERAS_BACKEND=tensorflow, or use distribute='jax-data' here\.$",
        "tensorflow": r"^Received distribute='jax-data' on the backend 'tensorflow'; it belongs to "
        r"'jax'\. Set KERAS_BACKEND=jax, or use distribute='mirrored' or 'multiworker' here\.$",
    }
    backend = keras.config.backend()
    with pytest.raises(ValueError, match=messages[backend]):
        pretrain(
            tiny_backbone(),
            synthetic_dataset(8),
            distribute="jax-data" if backend == "tensorflow" else "mirrored",
        )


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match=r"^Received distribute='horovod'; expected one of mirror"):
        connect("horovod")
    with pytest.raises(ValueError, match=r"^Received distribute='multiworker:2': the devices of"):
        connect("multiworker:2")
    with pytest.raises(ValueError, match=r"^Received driver='keras'; expected one of loop, fit\.$"):
        pretrain(tiny_backbone(), synthetic_dataset(8), driver="keras")
    with pytest.raises(ValueError, match=r"^callbacks are Keras's: give driver='fit' with them"):
        pretrain(tiny_backbone(), synthetic_dataset(8), callbacks=[keras.callbacks.Callback()])


@pytest.mark.skipif(keras.config.backend() == "torch", reason="Keras trains on one device")
def test_processes_that_the_environment_names_are_not_passed_over(monkeypatch):
    cluster = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}
    task = {"type": "worker", "index": 2}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    with pytest.warns(UserWarning, match=r"^The environment names 2 processes, and with distribut"):
        connect(None)
    if keras.config.backend() == "tensorflow":
        with pytest.raises(ValueError, match=r"^distribute='multiworker' reads the workers from"):
            connect("multiworker")
    else:
        monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "two")
        with pytest.raises(ValueError, match=r"^KERAS_DISTRIBUTION_NUM_PROCESSES is 'two'; expect"):
            connect("jax-data")
