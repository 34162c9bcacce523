"""What each way of making a model smaller costs: bytes, memory, seconds, accuracy.

    python benchmarks/compression.py prepare bench --counts ../shared/data/counts/pbmc3k.h5ad
    python benchmarks/compression.py make bench
    python benchmarks/compression.py measure bench --rounds 3
    python benchmarks/compression.py v1 bench --rounds 2

`prepare` tokenizes pbmc3k (512 genes a cell), holds a fifth of the cells of each type out, and
fine-tunes geneformer_mini on the others. `make` writes a preset for each way, each in a process of
its own; what learns in it does so in two passes over 600 of the training cells. `measure` loads
each in a process of its own on the same two cores, the ways in turns: bytes of the weights on disk,
seconds of `predict` a cell (48 of the test cells; the median of all rounds, after two calls), peak
resident memory, accuracy and macro-F1 on all test cells, and the median cosine of the embeddings
(layer -2) of the 48 with those of the uncompressed model. The table goes to stdout and to
bench/compression.csv.

`v1`: random weights of V1's shape, in float32 and in int8 on OpenVINO, beside `transformers` called
as the published package calls it (all hidden states, scores of all tokens): seconds a cell to the
second-to-last hidden state, for 16 cells of 512 tokens and 4 of 2048, in turns, and the cosines of
the cells' mean embeddings in int8 with those in float32. The cells are those of Genecorpus-30M in
--genecorpus; four others calibrate.
"""

import os
import sys

# A script beside this one is called as a module of the standard library is.
sys.path.pop(0)

import argparse
import json
import resource
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd

KEY = "cell_type"
SEED = 0
FLOAT = "float32"
QUANTIZED = ("int8", "int8-dynamic", "int4", "gptq", "float8", "openvino-int8")
PRUNED = {
    "heads and units 25%": {"heads": 0.25, "units": 0.25},
    "heads and units 50%": {"heads": 0.5, "units": 0.5},
    "weights 50%": {"weights": 0.5},
    "weights 80%": {"weights": 0.8},
}
LEARNED = (
    "heads and units 50%, 2 passes",
    "weights 80%, gradually, 2 passes",
    *("distilled, 1 block", "1 block, labels alone"),
)
WAYS = (FLOAT, "float32 on openvino", *QUANTIZED, *PRUNED, *LEARNED)
LEARNING_CELLS = 600
TIMED_CELLS = 48
SHAPES = ((512, 16), (2048, 4))
ENGINES = ("transformers", "openvino", "openvino-int8")


def prepare(options):
    """The two sides of the split, and the fine-tuned preset."""
    import anndata

    import keras_geneformer as kg

    adata = anndata.read_h5ad(options.counts)
    adata = adata[adata.obs[KEY] != "unlabelled"].copy()
    cells = kg.RankValueTokenizer.from_preset("geneformer_mini")(adata)
    preset = options.folder / FLOAT
    more = {"epochs": options.epochs, "pooling": "mean", "output": preset}
    result = kg.finetune_cells("geneformer_mini", cells, KEY, test=0.2, **more)
    print(result.metrics)
    part = pd.read_csv(preset / "parts.csv", index_col=0).reindex(cells.obs.index).iloc[:, -1]
    for name in ("training", "test"):
        rows = np.flatnonzero((part == "test") == (name == "test"))
        cells.subset(rows).save(options.folder / f"{name}.dataset")


def make(options):
    """A preset for each way, in processes of their own."""
    for way in options.ways:
        if way in (FLOAT, "float32 on openvino") or (options.folder / way).exists():
            continue
        print(f"making {way}", flush=True)
        _in_process(options, "make-one", way)


def make_one(options):
    """One of these presets."""
    import keras_geneformer as kg

    way, source = options.ways[0], options.folder / FLOAT
    training = kg.CellDataset.load(options.folder / "training.dataset")
    few = training.subset(np.random.default_rng(SEED).permutation(len(training))[:LEARNING_CELLS])
    target = options.folder / way
    model = kg.GeneformerCellClassifier.from_preset(source)
    if way in QUANTIZED:
        cells = training if way in ("gptq", "float8", "openvino-int8") else None
        kg.quantize(model, way, calibration=cells).save_to_preset(target)
    elif way in PRUNED:
        shares = PRUNED[way]
        cells = None if "weights" in shares else training
        kg.prune(model, **shares, cells=cells).model.save_to_preset(target)
    elif way.startswith("heads"):
        again = {"epochs": 2, "pooling": "mean", "output": target}
        kg.finetune_cells(options.folder / "heads and units 50%", few, KEY, **again)
    elif way.startswith("weights"):
        again = {"epochs": 2, "pooling": "mean", "output": target}
        kg.finetune_cells(source, few, KEY, prune=0.8, prune_schedule="cubic", **again)
    else:
        alone = {} if way.startswith("distilled") else {"soft": 0.0, "hard": 1.0, "hidden": 0.0}
        kg.distill(source, few, layers=1, label_key=KEY, epochs=2, output=target, **alone)


def measure(options):
    """The table."""
    measured = {way: [] for way in options.ways}
    for number in range(options.rounds):
        for way in options.ways:
            print(f"round {number + 1}: {way}", flush=True)
            measured[way].append(json.loads(_in_process(options, "measure-one", way)))
    rows = []
    for way, rounds in measured.items():
        row = {"way": way, "weights, MB": rounds[0]["bytes"] / 1e6}
        row["ms a cell"] = 1e3 * statistics.median(s for found in rounds for s in found["seconds"])
        row["peak MB"] = statistics.median(found["peak"] for found in rounds) / 1e6
        labels = pd.read_csv(options.folder / f"{way}.labels.csv", index_col=0)
        row |= _scores(labels["label"], labels["truth"])
        row["cosine"] = _cosine(*(_embedding(options, name) for name in (way, FLOAT)))
        rows.append(row)
    table = pd.DataFrame(rows)
    table.to_csv(options.folder / "compression.csv", index=False)
    print(table.to_markdown(index=False, floatfmt=".5g"))


def measure_one(options):
    """Seconds and memory of one way; its labels and embeddings beside the preset."""
    import keras_geneformer as kg

    way = options.ways[0]
    preset = options.folder / (FLOAT if way == "float32 on openvino" else way)
    cells = kg.CellDataset.load(options.folder / "test.dataset")
    model = kg.GeneformerCellClassifier.from_preset(preset)
    labels = kg.predict(model, cells)
    some = cells.subset(np.arange(TIMED_CELLS))
    seconds = []
    for _ in range(options.repeats + 1):
        began = time.perf_counter()
        kg.predict(model, some)
        seconds.append((time.perf_counter() - began) / len(some))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    labels.assign(truth=cells.obs[KEY].to_numpy()).to_csv(options.folder / f"{way}.labels.csv")
    kg.embed_cells(model, some, progress=False).to_parquet(options.folder / f"{way}.parquet")
    files = [preset / "model.weights.h5", *preset.glob("openvino/*")]
    size = sum(path.stat().st_size for path in files)
    print(json.dumps({"bytes": size, "seconds": seconds[1:], "peak": peak}))


def v1(options):
    """Seconds a cell of V1's shape, and what int8 does to its embeddings."""
    import pyarrow.parquet as pq

    options.folder.mkdir(parents=True, exist_ok=True)
    ids = [np.asarray(x) for x in pq.read_table(options.genecorpus)["input_ids"].to_pylist()]
    full = [x for x in ids if len(x) >= 2048][: 4 + max(count for _, count in SHAPES)]
    np.save(options.folder / "cells.npy", np.stack(full).astype(np.int32))
    seconds = {}
    for _ in range(options.rounds):
        for engine in ENGINES:
            found = json.loads(_in_process(options, "v1-one", engine))
            for length, values in found.items():
                seconds.setdefault((length, engine), []).extend(values)
    rows = []
    for length, _ in SHAPES:
        peer = statistics.median(seconds[str(length), "transformers"])
        for engine in ENGINES:
            taken = statistics.median(seconds[str(length), engine])
            row = {"tokens": length, "engine": engine, "s a cell": taken, "speed": peer / taken}
            if engine != "transformers":
                path = options.folder / f"{engine}.{length}.npy"
                row["cosine"] = _cosine(
                    np.load(path), np.load(options.folder / f"openvino.{length}.npy")
                )
            rows.append(row)
    print(pd.DataFrame(rows).to_markdown(index=False, floatfmt=".5g"))


def v1_one(options):
    """Seconds a cell of one engine."""
    engine = options.ways[0]
    cells = np.load(options.folder / "cells.npy")
    step = _peer() if engine == "transformers" else _ours(engine, cells[-4:])
    found = {}
    for length, count in SHAPES:
        batch = np.ascontiguousarray(cells[:count, :length])
        states = step(batch)
        if states is not None:
            np.save(options.folder / f"{engine}.{length}.npy", states.mean(axis=1))
        found[length] = []
        for _ in range(options.repeats):
            began = time.perf_counter()
            step(batch)
            found[length].append((time.perf_counter() - began) / count)
    print(json.dumps(found))


def _peer():
    import torch
    from transformers import BertConfig, BertForMaskedLM

    config = {"vocab_size": 25_426, "hidden_size": 256, "num_hidden_layers": 6}
    config |= {"num_attention_heads": 4, "intermediate_size": 512, "hidden_act": "relu"}
    config |= {"max_position_embeddings": 2048, "layer_norm_eps": 1e-12}
    model = BertForMaskedLM(BertConfig(**config)).eval()

    def step(batch):
        ids = torch.from_numpy(batch).long()
        with torch.no_grad():
            mask = torch.ones_like(ids)
            model(input_ids=ids, attention_mask=mask, output_hidden_states=True)

    return step


def _ours(engine, calibration):
    import keras

    import keras_geneformer as kg
    from keras_geneformer.data.inference import compile_forward

    keras.utils.set_random_seed(SEED)
    backbone = kg.GeneformerBackbone(25_426, 6, 4, 256, 512, 2048)
    if engine == "openvino-int8":
        kg.quantize(backbone, engine, calibration=kg.CellDataset(list(calibration)))
    forward = compile_forward(backbone.hidden_state_model(-2))
    return lambda batch: forward({"token_ids": batch, "padding_mask": np.ones_like(batch)})


def _in_process(options, part, way):
    """Run a part for one way in a process of its own, on the backend that it needs."""
    backend = "openvino" if "openvino" in way else "tensorflow"
    command = [sys.executable, __file__, part, str(options.folder), "--ways", way]
    command += ["--repeats", str(options.repeats)]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()[-1] if done.stdout else ""


def _embedding(options, way):
    table = pd.read_parquet(options.folder / f"{way}.parquet")
    return table.select_dtypes("number").to_numpy(dtype=np.float64)


def _cosine(one, other):
    if one.shape != other.shape:
        return float("nan")
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(np.median((one * other).sum(axis=1) / norms))


def _scores(labels, truth):
    from sklearn.metrics import accuracy_score, f1_score

    macro = f1_score(truth, labels, average="macro")
    return {"accuracy": accuracy_score(truth, labels), "macro-F1": macro}


if __name__ == "__main__":
    parts = {
        **{"prepare": prepare, "make": make, "make-one": make_one},
        **{"measure": measure, "measure-one": measure_one, "v1": v1, "v1-one": v1_one},
    }
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("part", choices=parts)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--counts", type=Path, default="../shared/data/counts/pbmc3k.h5ad")
    parser.add_argument(
        "--genecorpus", type=Path, default="../shared/data/tokenized/genecorpus30m_400.parquet"
    )
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--ways", nargs="+", default=WAYS)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    parts[options.part](options)
