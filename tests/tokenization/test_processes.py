import os
import signal
import subprocess
import sys

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


_ENDED = """
import os, pathlib, signal, sys, tempfile, time
from keras_geneformer.tokenization.processes import worker_pool

folder = pathlib.Path(sys.argv[1])
kill = sys.argv[2] == "kill"

def hold_a_temporary_directory():
    with tempfile.TemporaryDirectory():
        (folder / str(os.getpid())).touch()
        time.sleep(30)

futures = []
try:
    with worker_pool(2) as pool:
        futures.extend(pool.submit(hold_a_temporary_directory) for _ in range(9))
        while sum(path.is_file() for path in folder.iterdir()) < 2:
            time.sleep(0.01)
        if kill:
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyboardInterrupt
except KeyboardInterrupt:
    print(all(future.done() for future in futures))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux")
@pytest.mark.parametrize("how", ["interrupt", "kill"])
def test_workers_end_with_their_parent_and_leave_no_temporary_files(tmp_path, how):
    # In a process of its own: where a backend is loaded, as in this suite, none is forked.
    marks, scratch = tmp_path / "marks", tmp_path / "scratch"
    marks.mkdir()
    scratch.mkdir()
    # The workers' standard output is the pipe that is read here: it ends with the last of them.
    result = subprocess.run(
        [sys.executable, "-c", _ENDED, str(marks), how],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"TMPDIR": str(scratch)},
    )
    killed = how == "kill"
    assert result.returncode == (-signal.SIGKILL if killed else 0)
    assert (result.stdout, result.stderr) == ("" if killed else "True\n", "")
    assert list(scratch.iterdir()) == []


def test_with_a_backend_loaded_processes_start_anew():
    result = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.startswith("joblib.externals.loky")
    assert result.stdout.strip().endswith("[6, 24]\nstopped True")
    assert not result.stderr
