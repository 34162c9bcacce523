"""Geneformer against other methods on real cells: the same folds for all.

    python benchmarks/compare.py run --output comparison   # all three; hours on two cores
    python benchmarks/compare.py run --output comparison --data kang --epochs 3 --tokens 128
    python benchmarks/compare.py show --output comparison  # the tables, in markdown

| data | cells | labels | folds |
|---|---|---|---|
| pbmc3k | 2,638 ('unlabelled' ones left out) | cell_type, 9 | 5, stratified |
| kang | 1,000 | condition, 2 | 5, stratified |
| pancreas | 400 | cell_type, 6 | each of 4 technologies held out once |

Every method is fitted on the training cells of a fold alone; a tenth of these chooses the epoch of
the networks. The settings are the same for the pretrained network and those from random weights,
but that these freeze nothing. `geneformer_mini` saw most of these cells in pretraining, unlabelled;
no labels were used there. What the tables say of it is no measure of the published weights: give
those with `--model`.

A run that was ended goes on where it was, and more `--methods` run alone; other settings need
another `--output`. KERAS_BACKEND chooses the backend (TensorFlow by default).
"""

import sys

# Beside this file lies a tokenize.py, which is not the standard library's.
sys.path.pop(0)

import argparse
import os
import platform
import time
from pathlib import Path

DATA = {
    "pbmc3k": {"file": "pbmc3k", "label_key": "cell_type", "leave_out": "unlabelled"},
    "kang": {"file": "pbmc_kang_ifnb_1000", "label_key": "condition"},
    "pancreas": {
        **{"file": "pancreas_4tech", "label_key": "cell_type"},
        **{"group_key": "tech", "folds": "leave-one-out"},
    },
}
METHODS = (
    *("majority", "logistic-regression", "svm", "svm-linear", "random-forest", "xgboost", "knn"),
    *("untrained-1", "untrained-3", "untrained-4", "untrained-6"),
)


def run(options):
    for name in options.data:
        compare(options, name, **DATA[name])
    show(options)


def compare(options, name, file, label_key, leave_out=None, group_key=None, folds=None):
    """One comparison, kept in `--output`/name."""
    import anndata
    import numpy as np

    import keras_geneformer as kg

    adata = anndata.read_h5ad(options.shared / "data" / "counts" / f"{file}.h5ad")
    if leave_out is not None:
        adata = adata[(adata.obs[label_key] != leave_out).to_numpy()].copy()
    if options.cells and options.cells < adata.n_obs:
        chosen = np.random.default_rng(options.seed).permutation(adata.n_obs)[: options.cells]
        adata = adata[np.sort(chosen)].copy()
    backbone = kg.GeneformerBackbone.from_preset(options.model)
    tokens = min(options.tokens or backbone.max_sequence_length, backbone.max_sequence_length)
    cells = kg.RankValueTokenizer.from_preset(options.model, max_length=tokens)(adata)
    began = time.monotonic()
    found = kg.compare(
        backbone,
        cells,
        label_key,
        counts=adata,
        baselines=options.methods,
        folds=folds or options.folds,
        group_key=group_key,
        seed=options.seed,
        output=options.output / name,
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        freeze_layers=options.freeze_layers,
        pooling=options.pooling,
    )
    print(f"{name}: {time.monotonic() - began:.0f} s. {found.verdict}", flush=True)


def show(options):
    """The tables of what is done, in markdown."""
    import pandas as pd

    print(f"\n{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in options.data:
        directory = options.output / name
        if not (directory / "summary.csv").is_file():
            print(f"\n{name}: not done")
            continue
        summary = pd.read_csv(directory / "summary.csv")
        table = pd.read_csv(directory / "table.csv")
        folds, cells = table["fold"].nunique(), table.groupby("method")["cells"].sum().iloc[0]
        print(f"\n| {name}: {cells} cells, {folds} folds | accuracy | macro-F1 | against it | s |")
        print("|---|---|---|---|---|")
        for row in summary.to_dict("records"):
            against = ""
            if pd.notna(row["p"]):
                against = f"{shown(row['lead'], sign=True)} (p {shown(max(row['p'], 0.001))})"
            print(
                f"| {row['method']} | {shown(row['accuracy'])} ± {shown(row['accuracy_sd'])} "
                f"| {shown(row['macro_f1'])} ± {shown(row['macro_f1_sd'])} | {against} "
                f"| {row['seconds']:.0f} |"
            )
        print(f"\n{(directory / 'verdict.txt').read_text().strip()}")
    print(
        "\nMean ± standard deviation over folds. 'Against it': Geneformer's macro-F1 less the "
        "method's, with p by the corrected resampled t-test (.001: at most). Seconds: all folds, "
        "training and test."
    )


def shown(value, sign=False):
    """A score as .912."""
    text = f"{value:+.3f}" if sign else f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "show"])
    parser.add_argument("--output", type=Path, required=True, help="where runs are kept")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="the shared data")
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA))
    parser.add_argument("--model", default="geneformer_mini", help="preset (%(default)s)")
    parser.add_argument("--methods", nargs="+", default=METHODS, help="(%(default)s)")
    parser.add_argument("--cells", type=int, help="of each data set at most, drawn (all)")
    parser.add_argument("--tokens", type=int, help="genes of a cell, of highest rank (the model's)")
    parser.add_argument("--folds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--epochs", type=float, default=5, help="(%(default)s)")
    parser.add_argument("--batch-size", type=int, default=12, help="(%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="(%(default)s)")
    parser.add_argument("--freeze-layers", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--pooling", default="mean", help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    given = parse()
    given.output.mkdir(parents=True, exist_ok=True)
    globals()[given.what](given)
