import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from keras_geneformer.tokenization.processes import SameProcess, worker_pool

# A script without `if __name__ == "__main__"`, as people write them, that holds a backend.
_SCRIPT = """
import math, sys, time, types
sys.modules["torch"] = types.ModuleType("torch")
from keras_geneformer.tokenization.processes import worker_pool
with worker_pool(2) as pool:
    print(type(pool._pool).__module__, list(pool.map(math.factorial, [3, 4])))
try:
    with worker_pool(2) as pool:
        futures = [pool.submit(time.sleep, 0.2) for _ in range(50)]
        raise ValueError("stopped")
except ValueError as error:
    print(error, sum(future.cancelled() for future in futures) > 30)
"""


def test_one_worker_is_this_process():
    with worker_pool(1) as pool:
        assert pool.submit(os.getpid).result() == os.getpid()


def test_errors_are_kept_for_the_result():
    future = SameProcess().submit(int, "x")
    assert isinstance(future.exception(), ValueError)


def test_several_are_others():
    with worker_pool(2) as pool:
        assert pool.submit(os.getpid).result() != os.getpid()


def test_none_is_refused():
    with pytest.raises(ValueError, match=r"^workers is 0; expected 1 or more$"), worker_pool(0):
        pass


def test_an_interruption_ends_workers_at_once():
    start = time.monotonic()
    futures = []

    def work():
        with worker_pool(2) as pool:
            futures.extend(pool.submit(time.sleep, 30) for _ in range(9))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert time.monotonic() - start < 20
    assert all(future.done() for future in futures)


def hold_a_temporary_directory(parent):
    with tempfile.TemporaryDirectory(dir=parent):
        (parent / "began").touch()
        time.sleep(30)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux")
def test_workers_that_are_ended_leave_no_temporary_files(tmp_path):
    def work():
        with worker_pool(2) as pool:
            for _ in range(5):
                pool.submit(hold_a_temporary_directory, tmp_path)
            while not (tmp_path / "began").exists():
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert [path.name for path in tmp_path.iterdir()] == ["began"]


_KILLED = """
import os, signal, sys, time
from keras_geneformer.tokenization.processes import worker_pool
with worker_pool(2) as pool:
    print(*[pool.submit(os.getpid).result() for _ in range(9)], flush=True)
    pool.submit(time.sleep, 30)
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux")
def test_workers_of_a_killed_process_end():
    # Their standard output is the pipe that is read here: it ends with the last of them.
    result = subprocess.run(
        [sys.executable, "-c", _KILLED], capture_output=True, text=True, timeout=20
    )
    assert result.returncode == -signal.SIGKILL
    assert result.stdout.split()


def test_with_a_backend_loaded_processes_start_anew():
    result = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.startswith("joblib.externals.loky")
    assert result.stdout.strip().endswith("[6, 24]\nstopped True")
    assert not result.stderr
