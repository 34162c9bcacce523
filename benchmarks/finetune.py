"""Fine-tuning a cell classifier against `transformers`' Trainer, in one run.

    python benchmarks/finetune.py                      # V1 shape, pbmc3k's cells, full fine-tune
    python benchmarks/finetune.py --freeze 2 --epochs 3
    python benchmarks/finetune.py --tiny               # a tiny model, to try the script

The cells: `--cells` of pbmc3k (V1 tokens, found through KERAS_GENEFORMER_SHARED), drawn at random,
with their 9 labels and real lengths, `--batch` a step, `--epochs` passes. Every engine runs in a
process of its own, on the same cores, `--rounds` times in turns, and trains the V1 shape from
random weights: 6 layers of width 256, dropout .02, float32.

The peer: `Trainer.train()` on `BertForSequenceClassification` (sdpa attention) as the published
Classifier calls it: batches grouped by length, each padded to its longest cell, AdamW, linear
schedule with warm-up, clipping to 1. Ours: `finetune_cells`, whole, without validation.

Two rates of cells a second: of the whole call, with building, tracing and compiling; and of all
passes but the first, by the clock at the first and the last of their steps. With `--freeze n` the
first n blocks and the embeddings learn nothing in either; ours computes them once, and reads what
they gave in later passes.

The peer needs `accelerate` (pip install accelerate).
"""

import sys

# A script beside this one is called as a module of the standard library is.
sys.path.pop(0)

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

V1 = {
    "vocabulary_size": 25_426,
    "num_layers": 6,
    "num_heads": 4,
    "hidden_dim": 256,
    "intermediate_dim": 512,
    "max_sequence_length": 2048,
    "dropout": 0.02,
}
TINY = V1 | {"num_layers": 3, "num_heads": 2, "hidden_dim": 32, "intermediate_dim": 64}


def labelled_cells(number):
    """Token ids of some labelled cells of pbmc3k, and their labels."""
    import pyarrow.parquet

    shared = Path(os.environ.get("KERAS_GENEFORMER_SHARED", "../shared"))
    table = pyarrow.parquet.read_table(
        shared / "reference" / "tokenizer" / "pbmc3k.V1.parquet",
        columns=["input_ids", "cell_type"],
    )
    labels = np.array(table["cell_type"].to_pylist())
    rows = np.flatnonzero(labels != "unlabelled")
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:number])
    ids = table["input_ids"].take(rows).to_pylist()
    return [np.array(cell, dtype="int32") for cell in ids], labels[rows]


def peer(arguments, ids, labels, shape):
    """Seconds of the whole call, and the time at each step's end."""
    import torch
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    names, codes = np.unique(labels, return_inverse=True)
    items = [
        {"input_ids": torch.tensor(cell).long(), "labels": int(code), "length": len(cell)}
        for cell, code in zip(ids, codes)
    ]

    def collate(batch):
        length = max(item["length"] for item in batch)
        token_ids = torch.zeros(len(batch), length, dtype=torch.long)
        mask = torch.zeros(len(batch), length, dtype=torch.long)
        for row, item in enumerate(batch):
            token_ids[row, : item["length"]] = item["input_ids"]
            mask[row, : item["length"]] = 1
        labels = torch.tensor([item["labels"] for item in batch])
        return {"input_ids": token_ids, "attention_mask": mask, "labels": labels}

    times = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_, **__):
            times.append(time.perf_counter())

    began = time.perf_counter()
    model = BertForSequenceClassification._from_config(
        BertConfig(
            vocab_size=shape["vocabulary_size"],
            hidden_size=shape["hidden_dim"],
            num_hidden_layers=shape["num_layers"],
            num_attention_heads=shape["num_heads"],
            intermediate_size=shape["intermediate_dim"],
            hidden_act="relu",
            hidden_dropout_prob=shape["dropout"],
            attention_probs_dropout_prob=shape["dropout"],
            max_position_embeddings=shape["max_sequence_length"],
            num_labels=len(names),
        ),
        attn_implementation="sdpa",
    )
    if arguments.freeze:
        for part in [model.bert.embeddings, *model.bert.encoder.layer[: arguments.freeze]]:
            part.requires_grad_(False)
    with tempfile.TemporaryDirectory() as directory:
        settings = TrainingArguments(
            output_dir=directory,
            num_train_epochs=arguments.epochs,
            per_device_train_batch_size=arguments.batch,
            learning_rate=5e-5,
            warmup_steps=10,
            weight_decay=0.001,
            train_sampling_strategy="group_by_length",
            length_column_name="length",
            remove_unused_columns=False,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        Trainer(
            model, settings, train_dataset=items, data_collator=collate, callbacks=[Clock()]
        ).train()
    return time.perf_counter() - began, times


def ours(arguments, ids, labels, shape):
    """Seconds of the whole call, and the time at each step's end."""
    import pandas as pd

    from keras_geneformer import CellDataset, GeneformerBackbone, finetune_cells

    cells = CellDataset(ids, pd.DataFrame({"cell_type": labels}))
    began = time.perf_counter()
    result = finetune_cells(
        GeneformerBackbone(**shape),
        cells,
        "cell_type",
        validation=None,
        epochs=arguments.epochs,
        batch_size=arguments.batch,
        freeze_layers=arguments.freeze,
        learning_rate=5e-5,
        pooling="first",
        progress=False,
    )
    return time.perf_counter() - began, result.history["seconds"].tolist()


def work(arguments):
    """Run one engine in this process; what it took as JSON."""
    shape = TINY if arguments.tiny else V1
    ids, labels = labelled_cells(arguments.cells)
    engine = peer if arguments.engine == "transformers" else ours
    whole, times = engine(arguments, ids, labels, shape)
    steps = -(-len(ids) // arguments.batch)
    later = times[-1] - times[steps - 1]
    result = {
        "whole": len(ids) * arguments.epochs / whole,
        "later": len(ids) * (arguments.epochs - 1) / later,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "tokens": float(np.mean([len(cell) for cell in ids])),
    }
    print("RESULT", json.dumps(result))


def measure(arguments, engine):
    """Run one engine in a process of its own."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    if engine != "transformers":
        environment["KERAS_BACKEND"] = engine
    command = [sys.executable, __file__, "--engine", engine, "--cells", str(arguments.cells)]
    command += ["--batch", str(arguments.batch), "--epochs", str(arguments.epochs)]
    command += ["--freeze", str(arguments.freeze)] + ["--tiny"] * arguments.tiny
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{engine} failed:\n{done.stderr}")
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


def main():
    """Parse the command line, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", nargs="+", default=["tensorflow", "torch", "jax"])
    parser.add_argument("--cells", type=int, default=120)
    parser.add_argument("--batch", type=int, default=12, help="cells a batch")
    parser.add_argument("--epochs", type=int, default=3, help="2 or more")
    parser.add_argument("--freeze", type=int, default=0, help="blocks, with the embeddings")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to try the script")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine:
        work(arguments)
        return
    packages = ["keras", "tensorflow", "jax", "torch", "transformers", "accelerate"]
    print(
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        + ", ".join(f"{package} {version(package)}" for package in packages)
    )
    engines = ["transformers", *arguments.engines]
    results = {engine: [] for engine in engines}
    for round_ in range(arguments.rounds):
        for engine in engines:
            found = measure(arguments, engine)
            results[engine].append(found)
            print(f"round {round_ + 1}: {engine} {found}", file=sys.stderr, flush=True)

    def median(engine, key):
        return statistics.median(result[key] for result in results[engine])

    tokens = results["transformers"][0]["tokens"]
    print(
        f"\n{arguments.cells} cells of {tokens:.0f} tokens on average, {arguments.batch} a batch, "
        f"{arguments.epochs} passes, {arguments.freeze} blocks frozen\n"
    )
    print(
        "| engine | cells/s, later passes | against the Trainer | cells/s, whole call "
        "| against the Trainer | peak GB |\n|---|---|---|---|---|---|"
    )
    for engine in engines:
        later, whole = median(engine, "later"), median(engine, "whole")
        print(
            f"| {engine} | {later:.2f} | {later / median('transformers', 'later'):.2f}x "
            f"| {whole:.2f} | {whole / median('transformers', 'whole'):.2f}x "
            f"| {max(result['peak'] for result in results[engine]):.2f} |"
        )


if __name__ == "__main__":
    main()
