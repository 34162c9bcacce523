"""Deleting genes one at a time, against `transformers` driven as the published package drives it.

    python benchmarks/perturb.py --length 512          # 64 genes of one real cell
    python benchmarks/perturb.py --length 2048         # 24 genes

The model has the shape of Geneformer V1 and random weights (`BertConfig`'s initialisation), the
same for all; the cell is the first of genecorpus30m_400 that has so many tokens, cut to them. The
peer runs `BertForMaskedLM` on batches of perturbed copies with all hidden states and the scores of
all tokens, as the published package calls it, and takes cosines in float32; neither its dataset
operations nor its pickles are counted. Ours is what `perturb` does for a cell, the pass over the
original cell included. Each engine runs in a process of its own, on the same cores, in turns, with
the same batch size; the table gives the median over rounds.

Then the same deletions are computed in float64 by `transformers`, and the effects (1 minus the
cosine) of each engine compared with these: median relative error and Spearman's correlation.
`openvino-int8` is the screen: its time, its correlation, and how many of the first 20 it finds.
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

ENGINES = ["transformers", "openvino", "openvino-int8", "tensorflow", "torch", "jax"]
GENES = {512: 64, 2048: 24}


def make_checkpoint(directory):
    """Random weights of V1's shape, as `transformers` saves them."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    BertForMaskedLM(
        BertConfig(
            vocab_size=25_426,
            hidden_size=256,
            num_hidden_layers=6,
            num_attention_heads=4,
            intermediate_size=512,
            hidden_act="relu",
            hidden_dropout_prob=0.02,
            attention_probs_dropout_prob=0.02,
            max_position_embeddings=2048,
            layer_norm_eps=1e-12,
            pad_token_id=0,
        )
    ).save_pretrained(directory)


def cells_of(length, shared):
    """Real cells of at least so many tokens, cut to them."""
    import numpy as np
    import pandas as pd

    table = pd.read_parquet(shared / "data" / "tokenized" / "genecorpus30m_400.parquet")
    ids = [np.asarray(cell, dtype=np.int32) for cell in table["input_ids"]]
    return [cell[:length] for cell in ids if len(cell) >= length]


def places(length, genes):
    """Genes to delete, spread over the ranks."""
    import numpy as np

    return np.unique(np.linspace(0, length - 1, genes).round().astype(int))


def transformers_deletions(directory, ids, where, batch, double=False):
    """The peer: effects of deletions, and the function that computes them."""
    import numpy as np
    import torch
    from transformers import BertForMaskedLM

    model = BertForMaskedLM.from_pretrained(
        directory, output_hidden_states=True, attn_implementation="sdpa"
    ).eval()
    model = model.double() if double else model
    layer = model.config.num_hidden_layers - 1

    def states(token_ids):
        token_ids = torch.tensor(token_ids, dtype=torch.long)
        with torch.no_grad():
            outputs = model(input_ids=token_ids, attention_mask=torch.ones_like(token_ids))
        return outputs.hidden_states[layer]

    def run():
        original = states(ids[None])[0]
        effects = []
        for start in range(0, len(where), batch):
            some = where[start : start + batch]
            after = states(np.stack([np.delete(ids, place) for place in some]))
            before = torch.stack(
                [torch.cat([original[:place], original[place + 1 :]]) for place in some]
            )
            cosine = torch.nn.functional.cosine_similarity(after, before, dim=2)
            effects.append(1 - cosine.mean(dim=1).double())
        return torch.cat(effects).numpy()

    return run


def keras_deletions(directory, ids, where, batch):
    """Ours, on the backend that KERAS_BACKEND names."""
    import numpy as np

    from keras_geneformer.analysis.perturbation.batch_size import BatchSize
    from keras_geneformer.analysis.perturbation.cell_effects import CellEffects
    from keras_geneformer.analysis.perturbation.engine import engine_for
    from keras_geneformer.analysis.perturbation.variants import Perturbation
    from keras_geneformer.models.backbone import GeneformerBackbone

    special = np.array([0, 1])
    effects = CellEffects(
        engine=engine_for(
            GeneformerBackbone.from_preset(directory),
            layer=-2,
            first=False,
            special=special,
            classifier=None,
            lengths=np.array([len(ids)]),
        ),
        perturbation=Perturbation(kind="delete", targets=None, special=special, max_length=2048),
        pooling="mean",
        names=lambda tokens: np.asarray(tokens).astype(str).astype(object),
        batch_size=BatchSize(batch),
    )
    return lambda: 1 - effects.of("cell", ids, only=where)["value"].to_numpy()


def int8_deletions(directory, cells, where, batch):
    """The int8 screen's network, on the chosen genes alone."""
    import numpy as np

    from keras_geneformer.analysis.perturbation.quantized_screen import QuantizedScreen
    from keras_geneformer.models.backbone import GeneformerBackbone
    from keras_geneformer.tokenization.cells.dataset import CellDataset

    screen = QuantizedScreen(
        GeneformerBackbone.from_preset(directory),
        CellDataset(cells[:8]),
        layer=-2,
        pooling="mean",
        special=np.array([0, 1]),
        batch_size=batch,
    )
    return lambda: 1 - screen._effects.of("cell", cells[0], only=where)["value"].to_numpy()


def work(engine, length, genes, batch, directory, shared, repeats):
    """Run one engine in this process."""
    cells = cells_of(length, shared)
    ids, where = cells[0], places(length, genes)
    if engine == "transformers":
        run = transformers_deletions(directory, ids, where, batch)
    elif engine == "float64":
        run, repeats = transformers_deletions(directory, ids, where, batch, double=True), 0
    elif engine == "openvino-int8":
        run = int8_deletions(directory, cells, where, batch)
    else:
        run = keras_deletions(directory, ids, where, batch)
    effects, seconds = run(), []
    for _ in range(repeats):
        start = time.perf_counter()
        effects = run()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    result = {"seconds": seconds, "peak": peak, "effects": [float(effect) for effect in effects]}
    print("RESULT", json.dumps(result))


def measure(engine, options, directory):
    """Run one engine in a process of its own."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if engine not in ("transformers", "float64"):
        environment["KERAS_BACKEND"] = engine.removesuffix("-int8")
    command = [sys.executable, __file__, "--engine", engine, "--checkpoint", str(directory)]
    for name in ("length", "genes", "batch", "repeats", "shared"):
        command += [f"--{name}", str(getattr(options, name))]
    output = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


def against(effects, exact):
    """Median relative error, Spearman's correlation, and how many of the first 20 are found."""
    import numpy as np
    from scipy.stats import spearmanr

    effects, exact = np.array(effects), np.array(exact)
    top = [set(np.argsort(-values)[:20]) for values in (effects, exact)]
    error = np.median(np.abs(effects - exact) / exact)
    return error, spearmanr(effects, exact).statistic, len(top[0] & top[1])


def main():
    """Parse the command line, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--genes", type=int, help="deleted (default: 64 at 512, 24 at 2048)")
    parser.add_argument("--batch", type=int, help="copies a batch (default: 8192 tokens)")
    parser.add_argument("--engines", nargs="+", default=ENGINES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--shared", default=os.environ.get("KERAS_GENEFORMER_SHARED", "../shared"))
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--checkpoint", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.genes = options.genes or GENES.get(options.length, 24)
    options.batch = options.batch or max(1, 8192 // options.length)
    if options.engine:
        given = (options.engine, options.length, options.genes, options.batch)
        work(*given, options.checkpoint, Path(options.shared), options.repeats)
        return

    engines = ["transformers", *(name for name in options.engines if name != "transformers")]
    results = {engine: {"seconds": [], "peak": 0.0} for engine in engines}
    with tempfile.TemporaryDirectory() as directory:
        make_checkpoint(directory)
        exact = measure("float64", options, directory)["effects"]
        for round_ in range(options.rounds):
            for engine in engines:
                result = measure(engine, options, directory)
                results[engine]["seconds"] += result["seconds"]
                results[engine]["effects"] = result["effects"]
                results[engine]["peak"] = max(results[engine]["peak"], result["peak"])
                median = statistics.median(result["seconds"])
                print(f"round {round_ + 1}: {engine} {median:.2f} s", file=sys.stderr, flush=True)

    genes = len(exact)
    peer = statistics.median(results["transformers"]["seconds"])
    packages = ["keras", "tensorflow", "jax", "torch", "transformers", "openvino", "nncf"]
    print(
        f"{genes} deletions, {options.length} tokens, batches of {options.batch}, "
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        + ", ".join(f"{package} {version(package)}" for package in packages)
    )
    print(f"effects in float64: {min(exact):.1e} to {max(exact):.1e}\n")
    columns = ("engine", "s a gene", "speed", "peak GB", "median relative error", "Spearman")
    print(f"| {' | '.join(columns)} | first 20 found |")
    print("|---|---|---|---|---|---|---|")
    for engine in engines:
        seconds = statistics.median(results[engine]["seconds"])
        error, correlation, found = against(results[engine]["effects"], exact)
        print(
            f"| {engine} | {seconds / genes:.4f} | {peer / seconds:.2f}x "
            f"| {results[engine]['peak']:.2f} | {error:.1e} | {correlation:.6f} | {found} |"
        )


if __name__ == "__main__":
    main()
