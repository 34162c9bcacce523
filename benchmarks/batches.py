"""How fast batches are made, how soon the first one comes, and how much memory that takes.

    python benchmarks/batches.py                                           # a minute
    python benchmarks/batches.py --cells 10000000 --batches 2000           # what the README shows

Cells of 2048 token ids in batches of `--batch-size`, shuffled, from a memory-mapped dataset of
`--cells` cells. That dataset is one data file of 16,384 cells (67 MB) which its `state.json` names
as often as needed: the rates are those of files in the page cache. Each face runs in a process of
its own: PyDataset as Keras's `fit` reads it (on JAX, by `get_numpy_iterator` of its adapter; on
TensorFlow, by `get_tf_dataset`; with masking two workers), tf.data with two workers, grain with two
reading threads. Start-up is from opening the
dataset to holding the first batch, imports left out. Memory is RssAnon of /proc/self/status
before that, after the first batch and after the last: what is mapped is not in it.
"""

import sys

# Beside this file lies a tokenize.py, which is not the standard library's.
sys.path.pop(0)

import argparse
import importlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

LENGTH, CELLS_A_FILE, CELLS_A_RECORD_BATCH = 2048, 16_384, 4_096
SIZE = 20_275
SPECIAL = {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3}
FACES = {
    "PyDataset": "keras",
    "PyDataset on TensorFlow": "keras",
    "tf.data": "tensorflow",
    "grain": "grain",
}


def write_dataset(directory, cells):
    """A dataset of at least so many cells, all of whose data files are one file."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from keras_geneformer.tokenization.cells.arrow_format import read_dataset
    from keras_geneformer.tokenization.cells.dataset import CellDataset
    from keras_geneformer.tokenization.cells.token_lists import TokenLists

    rng = np.random.default_rng(0)
    genes = np.stack([rng.permutation(SIZE - 4)[:LENGTH] + 4 for _ in range(CELLS_A_FILE // 8)])
    ids = np.tile(genes.astype(np.int16), (8, 1)).ravel()
    obs = pd.DataFrame({"kind": rng.choice(["B", "T"], CELLS_A_FILE)})
    obs.index = obs.index.map("cell-{}".format)
    metadata = {"vocabulary_checksum": "0" * 64, "vocabulary_size": SIZE}
    metadata |= {"special_tokens": SPECIAL, "max_length": LENGTH}
    lists = TokenLists([(ids, np.arange(CELLS_A_FILE + 1) * LENGTH)])
    CellDataset.from_token_lists(lists, obs, metadata).save(directory)

    table, _ = read_dataset(directory)
    state = json.loads((directory / "state.json").read_text())
    name = state["_data_files"][0]["filename"]
    with pa.ipc.new_stream(str(directory / "new"), table.schema) as writer:
        writer.write_table(table, max_chunksize=CELLS_A_RECORD_BATCH)
    os.replace(directory / "new", directory / name)
    files = -(-cells // CELLS_A_FILE)
    state["_data_files"] *= files
    ours = json.loads((directory / "keras_geneformer.json").read_text())
    ours["num_cells"] *= files
    ours["num_tokens"] *= files
    (directory / "state.json").write_text(json.dumps(state))
    (directory / "keras_geneformer.json").write_text(json.dumps(ours))


def anonymous_memory():
    """RssAnon of this process in MB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status).group(1)) / 1000


def iterator(face, batches):
    """What a training loop would read from."""
    if face.startswith("PyDataset"):
        from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

        adapter = PyDatasetAdapter(batches)
        return iter(
            adapter.get_numpy_iterator() if face == "PyDataset" else adapter.get_tf_dataset()
        )
    if face == "tf.data":
        from keras_geneformer.data.tensorflow_batches import tensorflow_batches

        return iter(tensorflow_batches(batches))
    import grain

    from keras_geneformer.data.grain_batches import grain_batches

    options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=8)
    return iter(grain_batches(batches).to_iter_dataset(options))


def work(face, directory, masked, batch_size, number):
    """Measure one face in this process; the figures as JSON."""
    from keras_geneformer.data.batch_source import BatchSource
    from keras_geneformer.data.masking import Masking
    from keras_geneformer.tokenization.cells.dataset import CellDataset

    importlib.import_module(FACES[face])
    options = {"batch_size": batch_size, "shuffle": True, "max_length": LENGTH}
    if masked:
        options["masking"] = Masking(SIZE, SPECIAL)
    make = BatchSource
    if face.startswith("PyDataset"):
        from keras_geneformer.data.loader import CellBatches

        make = CellBatches
        options["workers"] = 2 if masked else 1
    memory = [anonymous_memory()]
    start = time.perf_counter()
    batches = make(CellDataset.load(directory), **options)
    reader = iterator(face, batches)
    next(reader)
    first = time.perf_counter()
    memory.append(anonymous_memory())
    number = min(number, len(batches) - 1)
    for _ in range(number):
        next(reader)
    seconds = time.perf_counter() - first
    memory.append(anonymous_memory())
    result = {"rate": number * batch_size / seconds, "start": first - start, "memory": memory}
    print("RESULT", json.dumps(result | {"batches": number, "cells": len(batches.cells)}))
    sys.stdout.flush()
    os._exit(0)  # readers ahead are still at work


def measure(*arguments):
    """Run one face in a process of its own."""
    environment = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"} | dict(os.environ)
    command = [sys.executable, __file__, "--worker", json.dumps(arguments)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(run.stderr)
    line = next(line for line in run.stdout.splitlines() if line.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


def main():
    """Parse the command line, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=1_000_000, help="in the dataset, at least")
    parser.add_argument("--batches", type=int, default=300, help="timed, a tenth with masking")
    parser.add_argument("--batch-size", type=int, default=32, help="cells a batch")
    parser.add_argument("--faces", nargs="+", choices=FACES, default=list(FACES))
    parser.add_argument("--directory", help="where to write the dataset; default: a temporary one")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(*arguments.worker)
    scratch = tempfile.mkdtemp(dir=arguments.directory)
    try:
        dataset = Path(scratch) / "cells.dataset"
        write_dataset(dataset, arguments.cells)
        packages = ["numpy", "pyarrow", "keras", "tensorflow", "grain"]
        print(
            f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
            + ", ".join(f"{package} {version(package)}" for package in packages)
            + f"; batches of {arguments.batch_size} cells of {LENGTH} ids"
        )
        print("\n| face | masking | cells/s | batches | cells in the dataset | start-up s ", end="")
        print("| RssAnon MB before | after the first batch | after the last |")
        print("|---|---|---|---|---|---|---|---|---|")
        for masked in (False, True):
            for face in arguments.faces:
                number = max(1, arguments.batches // 10) if masked else arguments.batches
                result = measure(face, str(dataset), masked, arguments.batch_size, number)
                print(
                    f"| {face} | {'yes' if masked else 'no'} | {result['rate']:,.0f} "
                    f"| {result['batches']:,} | {result['cells']:,} | {result['start']:.2f} | "
                    + " | ".join(f"{megabytes:,.0f}" for megabytes in result["memory"])
                    + " |",
                    flush=True,
                )
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
