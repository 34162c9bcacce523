"""The openvino backend on the V1 shape: lengths, int8, and what int8 finds on real cells.

    python benchmarks/openvino_inference.py speed
    python benchmarks/openvino_inference.py screen geneformer_mini pbmc3k.dataset --count 12

`speed` (random weights): seconds a cell, in turns, of the states after the second-to-last block, of
these compared with the unperturbed cell, and of the first in int8, at 16 cells of 512 tokens and 4
of 2048; the least of `--repeats` rounds, since a machine is only ever too slow. Then the resident
memory that one graph takes over 50 lengths.

`screen`: of each of `--count` cells all deletions are computed in float32 and in int8. The table
gives, for mean pooling and the first token's state, the share of the 20 strongest deletions that
are among the k first in int8, Spearman's correlation, the same of what is left after the mean of
the 15 nearest genes by rank is taken away, how many times faster int8 was, the median of its noise
floor and that of the effects.
"""

import os
import sys

# A script beside this one is called as a module of the standard library is.
sys.path.pop(0)
os.environ["KERAS_BACKEND"] = "openvino"

import argparse
import resource
import time
from collections import defaultdict
from functools import partial

import numpy as np
import pandas as pd

TOP = 20
KEPT = (20, 50, 100)
NEAREST = 15
SPECIAL = np.array([0, 1])


def speed(options):
    """Seconds a cell, and memory over many lengths."""
    import keras_geneformer as kg
    from keras_geneformer.analysis.perturbation.engine import VariantEngine, states_model
    from keras_geneformer.analysis.perturbation.quantized_screen import quantized
    from keras_geneformer.data.inference import compile_forward
    from keras_geneformer.data.openvino_forward import (
        compile_openvino_function,
        graph_as_model,
        openvino_graph,
    )

    rng = np.random.default_rng(0)
    backbone = kg.GeneformerBackbone(25_426, 6, 4, 256, 512, 2048)

    def cell(length):
        return rng.permutation(25_424)[:length].astype(np.int32) + 2

    model = states_model(backbone, -2)
    in_int8 = graph_as_model(quantized(openvino_graph(model), [cell(n) for n in (300, 600, 1200)]))
    in_int8 = compile_openvino_function(lambda ids, call=in_int8: call({"token_ids": ids}))
    forward = compile_forward(model)
    engine = VariantEngine(
        backbone, layer=-2, first=False, special=SPECIAL, lengths=np.array([2048])
    )
    for length, copies in ((512, 16), (2048, 4)):
        ids = cell(length)
        views = np.stack([np.delete(np.arange(length, dtype=np.int32), n) for n in range(copies)])
        before = engine.original(ids)
        ways = {
            "states": partial(forward, {"token_ids": ids[views]}),
            "states compared": partial(engine.compare, ids, before, views),
            "states in int8": partial(in_int8, ids[views]),
        }
        seconds = defaultdict(list)
        for _ in range(options.repeats + 1):
            for way, run in ways.items():
                began = time.perf_counter()
                run()
                seconds[way].append(time.perf_counter() - began)
        for way, taken in seconds.items():
            print(f"{length} tokens  {way:16} {min(taken[1:]) / copies:.4f} s a cell")
    fresh = compile_forward(model)
    for number, length in enumerate(rng.permutation(np.linspace(100, 2048, 50).astype(int)), 1):
        fresh({"token_ids": cell(length)[None]})
        if number % 10 == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(f"{number} lengths: peak {peak:.2f} GB")


def beyond_rank(effects):
    """Effects less the mean of those of the nearest ranks."""
    table = pd.Series(effects)
    return (table - table.rolling(NEAREST, center=True, min_periods=1).mean()).to_numpy()


def screen(options):
    """What int8 finds of what float32 finds."""
    import keras_geneformer as kg
    from keras_geneformer.analysis.perturbation.quantized_screen import QuantizedScreen

    backbone = kg.GeneformerBackbone.from_preset(options.model)
    cells = kg.CellDataset.load(options.cells)
    special = np.array(sorted(backbone.special_token_ids))
    rows = np.random.default_rng(1).choice(len(cells), options.count, replace=False)
    table = []
    for pooling in ("mean", "first"):
        scorer = QuantizedScreen(backbone, cells, layer=-2, pooling=pooling, special=special)
        for row in rows:
            ids = np.asarray(cells[int(row)], dtype=np.int32)
            began = time.perf_counter()
            scores = scorer.scores(ids)
            scores = scores[~np.isnan(scores)]
            between = time.perf_counter()
            effects = kg.perturb(backbone, cells.subset([int(row)]), pooling=pooling)["value"]
            exact = time.perf_counter() - between
            table.append(
                {"pooling": pooling, "n": len(effects)}
                | compared(1.0 - effects.to_numpy(), scores)
                | {"times faster": exact / (between - began)}
                | {"noise floor": np.median(scorer.noise_floor)}
            )
    means = pd.DataFrame(table).groupby("pooling").mean()
    print(means.T.to_string(float_format="{:.3g}".format))


def compared(effects, scores):
    """How scores agree with effects."""
    from scipy.stats import spearmanr

    row = {}
    pairs = {"": (effects, scores), "beyond rank, ": (beyond_rank(effects), beyond_rank(scores))}
    for of, (exact, found) in pairs.items():
        strongest, order = np.argsort(-exact)[:TOP], np.argsort(-found)
        for kept in KEPT:
            row[f"{of}top {kept}"] = np.isin(strongest, order[:kept]).mean()
        row[f"{of}spearman"] = spearmanr(exact, found).statistic
    return row | {"effect": np.median(effects)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("speed")
    verb.add_argument("--repeats", type=int, default=5)
    verb.set_defaults(run=speed)
    verb = verbs.add_parser("screen")
    verb.add_argument("model")
    verb.add_argument("cells")
    verb.add_argument("--count", type=int, default=12)
    verb.set_defaults(run=screen)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
