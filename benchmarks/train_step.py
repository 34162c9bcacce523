"""One step of masked-LM pretraining against `transformers`, in one run.

    python benchmarks/train_step.py                          # CPU, V1 model, float32
    python benchmarks/train_step.py --dtype bfloat16 --settings pbmc3k
    python benchmarks/train_step.py --gpu --peak-tflops 989  # GPU, bfloat16, both model shapes
    python benchmarks/train_step.py --gpu --tiny             # the code of that, tiny, anywhere

Settings: `pbmc3k`, the tokenized cells of pbmc3k (V1), found through KERAS_GENEFORMER_SHARED;
a number, cells of that many tokens each. Every engine gets the same cells a batch.

Each engine runs in a process of its own, on the same cores, in turns: `--rounds` times round the
engines, `--repeats` timed passes each. A pass goes over `--batches` batches of an epoch planned
over all cells, evenly spaced in the order of their tokens, so that their lengths are the epoch's. A
rate is real tokens (padding is no work done) over seconds of a pass; the table gives the median of
all passes. What comes before, on a first pass over the same batches (tracing, compiling), is a
column of its own; making the batches is not counted for any engine. `--buckets`: how many padded
lengths our batches have; by default as many as `pretrain` takes (10 on JAX, which compiles a step
for each, 64 on the others).

The peer: `BertForMaskedLM` with `sdpa` attention and the scores of all tokens, batches of
`LengthGroupedSampler` as the published pretrainer takes them (megabatches of 50 batches), each
padded to its longest cell; the step of `Trainer` without its bookkeeping: loss, gradients, clipping
to a norm of 1, fused AdamW, schedule. bfloat16 is autocast there, `mixed_bfloat16` here. Dropout is
that of the published runs, everywhere.

FLOPs of a step, the same for every engine: a cell of n tokens in a model of L layers of width D,
feed-forward width I and V tokens, of which it scores m = round(.15 n), takes

    6 n L (4 D^2 + 2 D I)   matrix products of the blocks (2 forward, 4 backward a weight)
  + 12 n L D n              attention's two products (4 n D forward a token and layer, 8 backward)
  + 6 m (D^2 + D V)         the head

Padding, recomputation and unmasked tokens' scores are no useful work. MFU is that over time and
`--peak-tflops`, the device's dense peak in the type used.
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
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

V1 = {"vocabulary_size": 25_426, "max_sequence_length": 2048, "dropout": 0.02}
V2 = {"vocabulary_size": 20_275, "max_sequence_length": 4096, "dropout": 0.02}
SHAPES = {
    "v1_10m": {**V1, "num_layers": 6, "num_heads": 4, "hidden_dim": 256, "intermediate_dim": 512},
    "v2_104m": {
        **V2,
        "num_layers": 12,
        "num_heads": 12,
        "hidden_dim": 768,
        "intermediate_dim": 3072,
    },
    "tiny": {
        "vocabulary_size": 500,
        "max_sequence_length": 64,
        "dropout": 0.02,
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 32,
        "intermediate_dim": 64,
    },
}
CELLS = {"pbmc3k": 12, "2048": 4, "4096": 4}
SPECIAL = {"<pad>": 0, "<mask>": 1}
MASK_RATE = 0.15
CPU_ENGINES = ["transformers", "tensorflow", "torch", "jax"]
GPU_ENGINES = ["transformers", "jax", "torch"]


def tokenized(setting, shape):
    """A `CellDataset` of the setting's cells."""
    from keras_geneformer.tokenization.cells.dataset import CellDataset

    if setting == "pbmc3k":
        import pyarrow.parquet

        shared = Path(os.environ["KERAS_GENEFORMER_SHARED"])
        table = pyarrow.parquet.read_table(
            shared / "reference" / "tokenizer" / "pbmc3k.V1.parquet", columns=["input_ids"]
        )
        ids = [np.array(cell, dtype="int32") for cell in table["input_ids"].to_pylist()]
        ids = [cell[: shape["max_sequence_length"]] % shape["vocabulary_size"] for cell in ids]
        return CellDataset([np.maximum(cell, 2) for cell in ids])
    rng = np.random.default_rng(0)
    length, genes = int(setting), shape["vocabulary_size"] - 2
    return CellDataset([rng.permutation(genes)[:length].astype("int32") + 2 for _ in range(96)])


def spaced(tokens, number):
    """Indices of `number` batches, evenly spaced in the order of their real tokens."""
    order = np.argsort(tokens, kind="stable")
    return order[((np.arange(number) + 0.5) * len(order) / number).astype(int)]


def flops(lengths, shape):
    """FLOPs of a training step on cells of these lengths, as the docstring counts them."""
    n = np.asarray(lengths, dtype=float)
    layers, width = shape["num_layers"], shape["hidden_dim"]
    block = layers * (4 * width**2 + 2 * width * shape["intermediate_dim"])
    head = width**2 + width * shape["vocabulary_size"]
    return float(
        np.sum(6 * n * block + 12 * layers * width * n**2 + 6 * np.rint(MASK_RATE * n) * head)
    )


def peer_engine(arguments, cells, shape):
    """The peer: its step, its batches with their real tokens, and the share of padding."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, get_linear_schedule_with_warmup
    from transformers.trainer_pt_utils import LengthGroupedSampler

    from keras_geneformer.data.masking import Masking

    torch.manual_seed(0)
    device = "cuda" if arguments.gpu and torch.cuda.is_available() else "cpu"
    lengths = np.asarray(cells.lengths)
    order = np.array(
        list(LengthGroupedSampler(arguments.cells, lengths=lengths.tolist())), dtype=int
    )
    whole = len(order) // arguments.cells * arguments.cells
    planned = order[:whole].reshape(-1, arguments.cells)
    masking = Masking(shape["vocabulary_size"], SPECIAL)
    batches = []
    for rows in planned[spaced(lengths[planned].sum(1), arguments.batches)]:
        token_ids = np.zeros((len(rows), lengths[rows].max()), "int32")
        for row, cell in enumerate(rows):
            token_ids[row, : lengths[cell]] = cells[cell]
        mask = (np.arange(token_ids.shape[1]) < lengths[rows][:, None]).astype("int32")
        masked = masking(token_ids, mask, rows, 0)
        labels = np.full(token_ids.shape, -100)
        row, place = np.nonzero(masked.weights)
        labels[row, masked.mask_positions[row, place]] = masked.labels[row, place]
        batch = {"input_ids": masked.token_ids, "attention_mask": mask, "labels": labels}
        tensors = {name: torch.tensor(array).long().to(device) for name, array in batch.items()}
        batches.append((tensors, lengths[rows]))

    model = BertForMaskedLM._from_config(
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
            layer_norm_eps=1e-12,
        ),
        attn_implementation="sdpa",
    )
    model.to(device).train()
    plain = [w for name, w in model.named_parameters() if "bias" in name or "LayerNorm" in name]
    rest = [w for name, w in model.named_parameters() if "bias" not in name and "Norm" not in name]
    groups = [{"params": plain, "weight_decay": 0.0}, {"params": rest, "weight_decay": 0.001}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, 10_000, 1_000_000)

    def step(batch):
        with torch.autocast(device, torch.bfloat16, enabled=arguments.dtype == "bfloat16"):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        return loss.item()

    longest = lengths[planned].max(1) * arguments.cells
    return step, batches, 1 - lengths[planned].sum() / longest.sum()


def keras_engine(arguments, cells, shape):
    """Ours, on the backend that KERAS_BACKEND names."""
    import keras

    from keras_geneformer.data.loader import CellBatches
    from keras_geneformer.data.masking import Masking
    from keras_geneformer.models.backbone import GeneformerBackbone
    from keras_geneformer.models.masked_lm import GeneformerMaskedLM
    from keras_geneformer.training.optimizers import adamw
    from keras_geneformer.training.pretraining import default_bucket_count
    from keras_geneformer.training.pretraining_model import PretrainingModel
    from keras_geneformer.training.schedules import WarmupSchedule
    from keras_geneformer.training.step import compile_step

    keras.utils.set_random_seed(0)
    policy = "mixed_bfloat16" if arguments.dtype == "bfloat16" else "float32"
    lengths = np.asarray(cells.lengths)
    source = CellBatches(
        cells,
        batch_size=arguments.cells,
        masking=Masking(shape["vocabulary_size"], SPECIAL),
        shuffle=True,
        bucket_count=arguments.buckets or default_bucket_count(),
        max_length=shape["max_sequence_length"],
    )
    whole = [i for i in range(len(source)) if len(source.rows(i)) == arguments.cells]
    tokens = [lengths[source.rows(i)].sum() for i in whole]
    chosen = [whole[i] for i in spaced(tokens, arguments.batches)]
    batches = [(source[i], lengths[source.rows(i)]) for i in chosen]

    backbone = GeneformerBackbone(**shape, dtype=policy)
    if arguments.recompute:
        backbone.recompute_blocks()
    model = PretrainingModel(GeneformerMaskedLM(backbone), chunk=arguments.chunk)
    model.compile(optimizer=adamw(WarmupSchedule(1e-3, 1_000_000, 10_000)))
    return compile_step(model, batches[0][0]), batches, source.padded_share


def work(arguments):
    """Run one engine in this process; what it took as JSON."""
    shape = SHAPES["tiny" if arguments.tiny else arguments.size]
    cells = tokenized(arguments.setting, shape)
    engine = peer_engine if arguments.engine == "transformers" else keras_engine
    step, batches, padding = engine(arguments, cells, shape)
    start = time.perf_counter()
    for batch, _ in batches:
        step(batch)
    first = time.perf_counter() - start
    seconds, processor = [], []
    for _ in range(arguments.repeats):
        start, start_processor = time.perf_counter(), time.process_time()
        for batch, _ in batches:
            step(batch)
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    result = {
        "first": first - min(seconds),
        "seconds": seconds,
        "processor": processor,
        "tokens": int(sum(lengths.sum() for _, lengths in batches)),
        "flops": sum(flops(lengths, shape) for _, lengths in batches),
        "padding": padding,
        "peak": peak_memory(arguments),
    }
    print("RESULT", json.dumps(result))


def peak_memory(arguments):
    """GB: the GPU's where there is one, or the process's resident memory."""
    if arguments.gpu and arguments.engine == "jax":
        import jax

        statistics_ = jax.devices()[0].memory_stats()
        if statistics_ is not None:
            return statistics_["peak_bytes_in_use"] / 1e9
    elif arguments.gpu:
        import torch

        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def measure(arguments, engine, setting, size, cells):
    """Run one engine in a process of its own."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if engine != "transformers":
        environment["KERAS_BACKEND"] = engine
    command = [sys.executable, __file__, "--engine", engine, "--setting", setting]
    command += ["--size", size, "--cells", str(cells), "--dtype", arguments.dtype]
    command += ["--batches", str(arguments.batches), "--repeats", str(arguments.repeats)]
    command += ["--chunk", str(arguments.chunk)] if arguments.chunk else []
    if arguments.buckets:
        command += ["--buckets", str(arguments.buckets)]
    command += ["--recompute"] * arguments.recompute
    command += ["--gpu"] * arguments.gpu + ["--tiny"] * arguments.tiny
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{engine} failed:\n{done.stderr}")
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


def compare(arguments, engines, setting, size):
    """Run the engines in turns on one setting, and print its table."""
    cells = arguments.cells or CELLS.get(setting, 4)
    results = {engine: [] for engine in engines}
    for round_ in range(arguments.rounds):
        for engine in engines:
            result = measure(arguments, engine, setting, size, cells)
            results[engine].append(result)
            rate = result["tokens"] / statistics.median(result["seconds"])
            print(f"round {round_ + 1}: {engine} {rate:,.0f} tokens/s", file=sys.stderr, flush=True)

    def median(engine, of):
        return statistics.median(
            value for result in results[engine] for value in of(result, np.array(result["seconds"]))
        )

    peer = median("transformers", lambda result, seconds: result["tokens"] / seconds)
    mfu = " TFLOP/s | MFU |" if arguments.gpu else ""
    print(f"\n{setting} tokens a cell, {cells} cells a batch, {size}, {arguments.dtype}\n")
    print(
        "| engine | real tokens/s | against transformers | processor s a 1,000 tokens | padding "
        f"| first pass, s more | peak GB |{mfu}"
    )
    print("|---|---|---|---|---|---|---|" + ("---|---|" if arguments.gpu else ""))
    for engine in engines:
        rate = median(engine, lambda result, seconds: result["tokens"] / seconds)
        processor = median(
            engine, lambda result, _: np.array(result["processor"]) / result["tokens"] * 1000
        )
        first = statistics.median(result["first"] for result in results[engine])
        peak = max(result["peak"] for result in results[engine])
        row = (
            f"| {engine} | {rate:,.0f} | {rate / peer:.2f}x | {processor:.2f} "
            f"| {results[engine][0]['padding']:.1%} | {first:.1f} | {peak:.2f} |"
        )
        if arguments.gpu:
            tera = median(engine, lambda result, seconds: result["flops"] / seconds / 1e12)
            row += f" {tera:.4g} | {tera / arguments.peak_tflops:.1%} |"
        print(row, flush=True)


def main():
    """Parse the command line, measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", nargs="+", help="pbmc3k, or tokens a cell")
    parser.add_argument("--engines", nargs="+", help="transformers always runs")
    parser.add_argument("--sizes", nargs="+", choices=["v1_10m", "v2_104m"])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="bfloat16 with --gpu")
    parser.add_argument("--cells", type=int, help="cells a batch (pbmc3k 12, others 4)")
    parser.add_argument("--batches", type=int, default=6, help="batches a pass")
    parser.add_argument("--repeats", type=int, default=2, help="timed passes a round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--chunk", type=int, help="positions scored at a time (ours)")
    parser.add_argument("--buckets", type=int, help="padded lengths (ours; default: as pretrain)")
    parser.add_argument("--recompute", action="store_true", help="of encoder blocks (ours)")
    parser.add_argument("--gpu", action="store_true", help="on a GPU, with MFU")
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="bfloat16: H100, 989")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to try the script")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    parser.add_argument("--size", default="v1_10m", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.dtype = arguments.dtype or ("bfloat16" if arguments.gpu else "float32")
    if arguments.engine:
        work(arguments)
        return

    engines = arguments.engines or (GPU_ENGINES if arguments.gpu else CPU_ENGINES)
    engines = ["transformers"] + [engine for engine in engines if engine != "transformers"]
    packages = ["keras", "tensorflow", "jax", "torch", "transformers"]
    print(
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        + ", ".join(f"{package} {version(package)}" for package in packages)
    )
    if arguments.gpu:
        print(
            "FLOPs of a cell of n tokens, m = round(.15 n) of them scored: 6 n L (4 D^2 + 2 D I) "
            "+ 12 n L D n + 6 m (D^2 + D V); MFU of a peak of "
            f"{arguments.peak_tflops:g} TFLOP/s"
        )
    for size in arguments.sizes or (["v1_10m", "v2_104m"] if arguments.gpu else ["v1_10m"]):
        longest = str(SHAPES["tiny" if arguments.tiny else size]["max_sequence_length"])
        default = [longest] if arguments.gpu or arguments.tiny else ["pbmc3k", "2048"]
        for setting in arguments.settings or default:
            compare(arguments, engines, setting, size)


if __name__ == "__main__":
    main()
