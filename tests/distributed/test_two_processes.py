"""Two processes on loopback give the losses of one, and lose no work."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from runs import losses

pytestmark = [
    pytest.mark.tensors,
    pytest.mark.skipif(
        keras.config.backend() == "torch", reason="Keras trains on one device on PyTorch"
    ),
]

KIND = "multiworker" if keras.config.backend() == "tensorflow" else "jax-data"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def environment(process, ports):
    """What tells a process who it is."""
    own = {"KERAS_BACKEND": keras.config.backend(), "KERAS_GENEFORMER_WORKER_TIMEOUT": "60"}
    hosts = [f"127.0.0.1:{port}" for port in ports]
    if keras.config.backend() == "tensorflow":
        task = {"type": "worker", "index": process}
        own["TF_CONFIG"] = json.dumps({"cluster": {"worker": hosts}, "task": task})
    else:
        own |= {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": hosts[0],
            "KERAS_DISTRIBUTION_NUM_PROCESSES": str(len(ports)),
            "KERAS_DISTRIBUTION_PROCESS_ID": str(process),
        }
    return os.environ | own


def run_together(folder, number, **options):
    """Exit codes and stderr of so many processes that train together."""
    folder.mkdir(exist_ok=True)
    script = Path(__file__).with_name("runs.py")
    run = json.dumps({"distribute": KIND} | options)
    ports = [free_port() for _ in range(number)]
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder / f"{index}.json"), str(folder / "kept"), run],
            env=environment(index, ports),
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(number)
    ]
    try:
        errors = [process.communicate(timeout=600)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], errors


@pytest.fixture(scope="module")
def alone():
    """One process, one device."""
    return losses()


def read(folder, process):
    return json.loads((folder / f"{process}.json").read_text())[0]


def check(found, expected):
    np.testing.assert_allclose(found["losses"], expected["losses"], atol=1e-4)
    np.testing.assert_allclose(found["weights"], expected["weights"], rtol=1e-3, atol=1e-3)


def test_two_processes_give_the_losses_of_one(tmp_path, alone):
    codes, errors = run_together(tmp_path, 2, accumulate=2)
    assert codes == [0, 0], errors
    check(read(tmp_path, 0), alone)
    check(read(tmp_path, 1), alone)


@pytest.mark.skipif(
    keras.config.backend() == "jax",
    reason="JAX holds the exit of the process that is left until its heartbeat times out: minutes",
)
def test_a_lost_process_is_named_and_one_alone_goes_on(tmp_path, alone):
    die = {"step": 13, "process": 1, "signal": "SIGKILL"}
    codes, errors = run_together(tmp_path, 2, checkpoint_every=5, die=die)
    assert codes[1] == -signal.SIGKILL
    assert codes[0] not in (0, None)
    assert "ConnectionError: Process 0 of a run of 2 lost another one (" in errors[0]
    assert "checkpoint-000000010: start the same command again on the processes that" in errors[0]
    codes, errors = run_together(tmp_path, 1)
    assert codes == [0], errors
    check(read(tmp_path, 0), alone)


def test_one_that_is_told_to_end_ends_both_with_the_state_saved(tmp_path):
    die = {"step": 4, "process": 1, "signal": "SIGTERM"}
    codes, errors = run_together(tmp_path, 2, die=die)
    assert codes == [0, 0], errors
    (kept,) = (tmp_path / "kept").glob("checkpoint-*")
    assert kept.name == "checkpoint-000000007"
