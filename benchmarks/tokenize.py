"""Cells a second from files of counts to a tokenized dataset, and the memory that takes.

    python benchmarks/tokenize.py speed  --dictionaries ../shared/data/dictionaries/pickles/V1
    python benchmarks/tokenize.py memory --dictionaries ../shared/data/dictionaries/pickles/V1

One synthetic file of 5,000 cells x 20,000 genes (about 2,500 detected a cell; as h5ad, uncompressed
and gzip) is repeated by hard links to as many cells as are asked for. `speed` tokenizes them to a
dataset on disk, `--rounds` times, and gives medians; then, for one process, the rates of reading
alone, ranking alone and writing alone. Where the package `helical` is installed (`pip install
--no-deps helical`; its tokenizer is the published one), it tokenizes one of the files in the same
run. `memory` gives the highest anonymous memory (RssAnon, sampled) of all processes together.

Timed is the call of `tokenize_files`, with the start of its processes, and without the imports
and the compilation of the ranking (once for each installation).
"""

import sys

# This script is called as a module of the standard library is: that one has to be found.
sys.path.pop(0)

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

CELLS, GENES, DETECTED = 5000, 20_000, 2500


def make_file(path, vocabulary, compression):
    """A file of Poisson counts with unlike abundant genes."""
    import anndata
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    genes = rng.permutation(vocabulary.genes)[:GENES]
    shares = rng.lognormal(0, 1.6, GENES)
    shares /= shares.sum()
    rows = [
        sp.csr_matrix(rng.poisson(shares * rng.lognormal(np.log(4000), 0.25)).astype(np.float32))
        for _ in range(CELLS)
    ]
    counts = sp.vstack(rows, format="csr")
    obs = pd.DataFrame(
        {
            "n_counts": np.asarray(counts.sum(axis=1)).ravel(),
            "cell_type": pd.Categorical(rng.choice(["B", "T", "NK"], CELLS)),
        },
        index=[f"cell{i}" for i in range(CELLS)],
    )
    var = pd.DataFrame({"ensembl_id": genes}, index=genes)
    anndata.AnnData(counts, obs, var).write_h5ad(path, compression=compression)
    return counts.nnz / CELLS


def repeated(path, folder, cells):
    """A folder in which the file stands as often as gives so many cells."""
    folder.mkdir()
    for i in range(cells // CELLS):
        os.link(path, folder / f"{i:06d}.h5ad")
    return folder


def anonymous_memory():
    """RssAnon of this process and of those below it, in bytes."""
    total, waiting = 0, [os.getpid()]
    while waiting:
        process = waiting.pop()
        try:
            status = Path(f"/proc/{process}/status").read_text()
            below = Path(f"/proc/{process}/task/{process}/children").read_text()
        except OSError:
            continue
        total += next(
            (int(line.split()[1]) * 1024 for line in status.splitlines() if "RssAnon" in line), 0
        )
        waiting += map(int, below.split())
    return total


def run_ours(job):
    """One call; prints seconds, cells and the highest anonymous memory."""
    from keras_geneformer import GeneVocabulary, RankValueTokenizer
    from keras_geneformer.tokenization.ranking import compile_kernels

    tokenizer = RankValueTokenizer(GeneVocabulary.load(job["dictionaries"], version="v1"))
    compile_kernels()
    peak, done = [0], threading.Event()

    def watch():
        while not done.wait(0.1):
            peak[0] = max(peak[0], anonymous_memory())

    watcher = threading.Thread(target=watch)
    if job["watch"]:
        watcher.start()
    began = time.perf_counter()
    cells = tokenizer.tokenize_files(job["folder"], job["output"], workers=job["workers"])
    seconds = time.perf_counter() - began
    done.set()
    print(json.dumps({"seconds": seconds, "cells": len(cells), "peak": peak[0]}))


def run_peer(job):
    """The published tokenizer, as the package `helical` carries it, on one file."""
    place = Path(importlib.util.find_spec("helical").origin).parent
    script = place / "models" / "geneformer" / "geneformer_tokenizer.py"
    spec = importlib.util.spec_from_file_location("peer", script)
    peer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    tables = Path(job["dictionaries"])
    tokenizer = peer.TranscriptomeTokenizer(
        {"cell_type": "cell_type"},
        nproc=2,
        model_input_size=2048,
        special_token=False,
        gene_median_file=tables / "gene_median_dictionary_gc30M.pkl",
        token_dictionary_file=tables / "token_dictionary_gc30M.pkl",
        gene_mapping_file=tables / "ensembl_mapping_dict_gc30M.pkl",
    )
    began = time.perf_counter()
    tokenizer.tokenize_data(job["folder"], job["output"], "peer", "h5ad")
    print(json.dumps({"seconds": time.perf_counter() - began, "cells": CELLS, "peak": 0}))


def run_stages(job):
    """Reading, ranking and writing alone, in one process."""
    import numpy as np

    from keras_geneformer import GeneVocabulary
    from keras_geneformer.tokenization.cells.arrow_format import CellFileWriter
    from keras_geneformer.tokenization.ranking import cell_sums, compile_kernels, rank_cells
    from keras_geneformer.tokenization.readers.sources import opened

    compile_kernels()
    vocabulary = GeneVocabulary.load(job["dictionaries"], version="v1")
    with opened(job["file"]) as source:
        began = time.perf_counter()
        chunks = [rows for _, rows in source.chunks(512)]
        read = time.perf_counter() - began
        positions = vocabulary.positions_of(source.var["ensembl_id"])
    tokens, medians = vocabulary.tokens[positions], vocabulary.medians[positions]
    began = time.perf_counter()
    ranked = []
    for rows in chunks:
        entries = (rows.data, rows.indices, rows.indptr.astype(np.int64))
        sums, _ = cell_sums(*entries, tokens)
        ranked.append(rank_cells(*entries, sums, tokens, medians, 2048))
    rank = time.perf_counter() - began
    began = time.perf_counter()
    with CellFileWriter(Path(job["output"]), np.dtype(np.int16), {}) as writer:
        for chunk in ranked:
            writer.write(chunk.token_ids, chunk.lengths, {})
    write = time.perf_counter() - began
    print(json.dumps({"read": CELLS / read, "rank": CELLS / rank, "write": CELLS / write}))


RUNS = {"ours": run_ours, "peer": run_peer, "stages": run_stages}


def in_a_process(kind, **job):
    """Run one of the above in a process of its own, and return what it prints last."""
    command = [sys.executable, __file__, "run", kind, json.dumps(job)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(result.stderr)
    return json.loads(result.stdout.strip().splitlines()[-1])


def speed(options, scratch, vocabulary):
    print("| file | cells | processes | seconds | cells/s |\n|---|---|---|---|---|")
    stages = []
    for name, compression in (("uncompressed", None), ("gzip", "gzip")):
        file = scratch / f"{name}.h5ad"
        make_file(file, vocabulary, compression)
        folder = repeated(file, scratch / name, options.cells)
        for workers in (2, 1):
            runs = [
                in_a_process(
                    "ours",
                    dictionaries=options.dictionaries,
                    folder=str(folder),
                    output=str(scratch / "x.dataset"),
                    workers=workers,
                    watch=False,
                )
                for _ in range(options.rounds)
            ]
            seconds = statistics.median(run["seconds"] for run in runs)
            rate = runs[0]["cells"] / seconds
            print(f"| {name} | {runs[0]['cells']:,} | {workers} | {seconds:.2f} | {rate:,.0f} |")
        if compression is None and importlib.util.find_spec("helical"):
            one = repeated(file, scratch / "one", CELLS)
            arguments = {"dictionaries": options.dictionaries, "folder": str(one)}
            run = in_a_process("peer", **arguments, output=str(scratch))
            rate = run["cells"] / run["seconds"]
            print(f"| {name}, helical | {CELLS:,} | 2 | {run['seconds']:.2f} | {rate:,.0f} |")
        output = str(scratch / "stage.arrow")
        rates = in_a_process(
            "stages", dictionaries=options.dictionaries, file=str(file), output=output
        )
        stages.append((name, rates))
    print("\n| one process, cells/s | read only | rank only | write only |\n|---|---|---|---|")
    for name, rates in stages:
        print(f"| {name} | {rates['read']:,.0f} | {rates['rank']:,.0f} | {rates['write']:,.0f} |")


def memory(options, scratch, vocabulary):
    file = scratch / "uncompressed.h5ad"
    make_file(file, vocabulary, None)
    print("| cells | processes | highest RssAnon, all together | cells/s |\n|---|---|---|---|")
    for cells in options.sizes:
        folder = repeated(file, scratch / str(cells), cells)
        run = in_a_process(
            "ours",
            dictionaries=options.dictionaries,
            folder=str(folder),
            output=str(scratch / "x.dataset"),
            workers=2,
            watch=True,
        )
        rate = run["cells"] / run["seconds"]
        print(f"| {run['cells']:,} | 2 | {run['peak'] / 2**20:,.0f} MB | {rate:,.0f} |", flush=True)


def main():
    if sys.argv[1:2] == ["run"]:
        RUNS[sys.argv[2]](json.loads(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("speed", "memory"))
    parser.add_argument("--dictionaries", required=True, help="folder of the published V1 pickles")
    parser.add_argument("--cells", type=int, default=100_000, help="speed: a multiple of 5,000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--scratch", help="folder for the files (default: the system's)")
    options = parser.parse_args()
    from keras_geneformer import GeneVocabulary

    vocabulary = GeneVocabulary.load(options.dictionaries, version="v1")
    packages = ("keras_geneformer", "numpy", "numba", "h5py", "pyarrow")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(f"Python {platform.python_version()}, {versions}; {os.cpu_count()} cores\n")
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        {"speed": speed, "memory": memory}[options.what](options, Path(scratch), vocabulary)


if __name__ == "__main__":
    main()
