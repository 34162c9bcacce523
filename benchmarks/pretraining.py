"""Whether pretraining learns, and what it is worth: on real cells, on two cores.

    python benchmarks/pretraining.py evidence --output runs    # 12 minutes
    python benchmarks/pretraining.py scaling --output runs     # 6 minutes
    python benchmarks/pretraining.py finetune --output runs    # 18 minutes, after evidence
    python benchmarks/pretraining.py draw --output runs --images docs/images

Cells: 400 of Genecorpus-30M as published, and pbmc3k, pancreas_4tech and pbmc_kang_ifnb_1000
tokenized with the V1 vocabulary; of each cell the `--tokens` genes of the highest ranks (256, for
time: a Genecorpus cell has 2,000). A tenth of the cells is held
out, drawn by cell. No labels are read but by `finetune`.

`evidence` trains a model of the recipe mini's shape and takes the held-out loss after each epoch,
beside guessing by gene frequency, and by gene frequency at the rank. `scaling` does it for three
sizes on equal tokens. `finetune` names the cell types of pbmc3k from 10, 30 and 100 cells a type,
with the model of `evidence` (which saw nine tenths of these cells, unlabelled) or `--model`, with
the same model from random weights, and with logistic regression on log(1 + counts per 10,000) of
all genes; the other cells of these types are the test. The settings of fine-tuning are the same
for both and were set beforehand, for no test cell.

Tables are csv files in `--output`; what is there already is not run again, and an interrupted
training goes on where it was. KERAS_BACKEND chooses the backend (TensorFlow by default).
"""

import sys

# Beside this file lies a tokenize.py, which is not the standard library's.
sys.path.pop(0)

import argparse
import json
import os
import shutil
import time
from pathlib import Path

SEED = 0
COUNTS = ("pbmc3k", "pancreas_4tech", "pbmc_kang_ifnb_1000")
SIZES = {
    "2 x 64": {"num_layers": 2, "num_heads": 2, "hidden_dim": 64, "intermediate_dim": 128},
    "3 x 128": {"num_layers": 3, "num_heads": 4, "hidden_dim": 128, "intermediate_dim": 256},
    "4 x 192": {"num_layers": 4, "num_heads": 6, "hidden_dim": 192, "intermediate_dim": 384},
}
"""The three sizes of `scaling`: layers x width, and their shapes."""
CELLS_A_TYPE = (10, 30, 100)
LEAST_TEST_CELLS = 10
TOKENS = 256
EPOCHS = {"evidence": 8, "scaling": 2}
FINETUNING_STEPS = 120
FINETUNING = {"batch_size": 16, "learning_rate": 5e-4, "pooling": "mean"}


def load_cells(options):
    """The V1 tokens of all cells, cut to `--tokens`, and which of them are held out."""
    import numpy as np

    import keras_geneformer as kg
    from keras_geneformer.training.splits import split_by_cell

    directory = options.output / f"cells_{options.tokens}.dataset"
    if not directory.is_dir():
        data = options.shared / "data"
        vocabulary = kg.GeneVocabulary.load(data / "dictionaries" / "pickles" / "V1")
        tokenizer = kg.RankValueTokenizer(vocabulary)
        parts = [
            kg.CellDataset.from_parquet(
                data / "tokenized" / "genecorpus30m_400.parquet", vocabulary=vocabulary
            )
        ]
        parts += [
            tokenizer.tokenize_files(data / "counts" / f"{name}.h5ad", obs_columns=["cell_type"])
            if name == "pbmc3k"
            else tokenizer.tokenize_files(data / "counts" / f"{name}.h5ad", obs_columns=[])
            for name in COUNTS
        ]
        cells = kg.CellDataset.concat(parts, sources=["genecorpus30m_400", *COUNTS])
        cut = [np.asarray(cells[number])[: options.tokens] for number in range(len(cells))]
        kg.CellDataset(cut, cells.obs, vocabulary=vocabulary).save(directory)
    cells = kg.CellDataset.load(directory)
    if options.cells:
        cells = cells.subset(
            np.sort(np.random.default_rng(SEED).permutation(len(cells))[: options.cells])
        )
    training, held = split_by_cell(np.zeros(len(cells)), 0.1, SEED)
    return cells.subset(training), cells.subset(held)


def random_backbone(cells, tokens, shape):
    """A model with random weights, of a seed."""
    import keras

    import keras_geneformer as kg

    keras.utils.set_random_seed(SEED)
    return kg.GeneformerBackbone(
        vocabulary_size=cells.vocabulary_size,
        max_sequence_length=tokens,
        special_token_ids=tuple(sorted(cells.special_tokens.values())),
        vocabulary_checksum=cells.vocabulary_checksum,
        dropout=0.02,
        **shape,
    )


def train(options, name, shape, epochs, training, held):
    """Pretrains a model in `--output`/name, once; returns its history and the baselines."""
    import pandas as pd

    import keras_geneformer as kg
    from keras_geneformer.data.masking import Masking
    from keras_geneformer.training.baselines import baseline_losses
    from keras_geneformer.training.recipes import mini

    directory = options.output / name
    if not (directory / "preset.json").is_file():
        # At mini's rate, the 25,426 tokens of V1 stayed at the loss of gene frequency: 600 steps of
        # 2e-3, reached in 50, left it at 8.60. (Post-LN encoders need a gentle start.)
        recipe = mini(learning_rate=1e-3, warmup=0.1)
        chosen = ("batch_size", "learning_rate", "warmup", "decay", "weight_decay", "mask_rate")
        began = time.monotonic()
        result = kg.pretrain(
            random_backbone(training, options.tokens, shape),
            training,
            validation=held,
            epochs=epochs,
            seed=SEED,
            checkpoints=options.output / f"{name}.checkpoints",
            checkpoint_every=200,
            **{field: getattr(recipe, field) for field in chosen},
        )
        masking = Masking(
            training.vocabulary_size, training.special_tokens, recipe.mask_rate, seed=SEED
        )
        found = vars(baseline_losses(training, held, masking)) | {
            "cells": len(training),
            "held_out_cells": len(held),
            "tokens": int(training.lengths.sum()) * epochs,
            "parameters": result.model.count_params(),
            "seconds_since_start_or_resume": time.monotonic() - began,
        }
        result.history.to_csv(options.output / f"{name}.history.csv", index=False)
        (options.output / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n")
        result.model.save_to_preset(directory)
        shutil.rmtree(options.output / f"{name}.checkpoints")
    history = pd.read_csv(options.output / f"{name}.history.csv")
    return history, json.loads((options.output / f"{name}.json").read_text())


def evidence(options):
    """The held-out loss of a mini-shaped model after each epoch, beside the baselines."""
    import pandas as pd

    history, found = train(
        options, "evidence", SIZES["3 x 128"], options.epochs, *load_cells(options)
    )
    after = history.dropna(subset="validation_loss")
    table = pd.DataFrame(
        {
            "guess": [
                "gene frequency",
                "gene frequency at the rank",
                "the same, knowing how genes are hidden",
            ]
            + [f"model, epoch {number + 1}" for number in range(len(after))],
            "held_out_loss": [
                found["unigram"],
                found["rank_position"],
                found["informed"],
                *after["validation_loss"],
            ],
            "top5": [float("nan")] * 3 + after["validation_top5"].tolist(),
        }
    )
    return write(options, "evidence.csv", table)


def scaling(options):
    """The held-out loss of three sizes after equal tokens."""
    import pandas as pd

    training, held = load_cells(options)
    rows = []
    for size, shape in SIZES.items():
        name = "scaling_" + size.replace(" ", "")
        history, found = train(options, name, shape, options.epochs, training, held)
        rows.append(
            {
                "layers x width": size,
                "parameters": found["parameters"],
                "tokens": found["tokens"],
                "held_out_loss": history["validation_loss"].dropna().iloc[-1],
                "unigram": found["unigram"],
                "rank_position": found["rank_position"],
                "informed": found["informed"],
            }
        )
    return write(options, "scaling.csv", pd.DataFrame(rows))


def finetune(options):
    """Pretrained, random and logistic regression on few cells a type of pbmc3k, five seeds."""
    import pandas as pd

    import keras_geneformer as kg
    from keras_geneformer.demo.comparison import logistic_regression
    from keras_geneformer.models.presets import preset_vocabulary
    from keras_geneformer.training.metrics import classification_metrics

    adata, cells, labels = labelled_cells(options, preset_vocabulary)
    pretrained = kg.GeneformerBackbone.from_preset(options.model or options.output / "evidence")
    path = options.output / f"finetune_{'mini' if options.model else 'evidence'}.runs.csv"
    runs = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["each", "seed", "method"])
    done = set(zip(runs["each"], runs["seed"], runs["method"]))
    sizes = pd.Series(labels).value_counts()
    for each in options.each:
        types = sizes.index[sizes >= each + LEAST_TEST_CELLS].sort_values()
        for seed in range(options.seeds):
            drawn, test = few_of_each(labels, types, each, seed)
            for method in ("pretrained", "random weights", "logistic regression"):
                if (each, seed, method) in done:
                    continue
                if method == "logistic regression":
                    given = logistic_regression(adata, labels, drawn, test)
                else:
                    steps = -(-int(len(drawn) * 0.9) // FINETUNING["batch_size"])
                    tuned = kg.finetune_cells(
                        pretrained if method == "pretrained" else shuffled(pretrained, seed),
                        cells.subset(drawn),
                        "cell_type",
                        epochs=max(2, round(options.steps / steps)),
                        seed=seed,
                        progress=False,
                        **FINETUNING,
                    )
                    given = kg.predict(tuned.model, cells.subset(test), progress=False)
                    given = given["label"].to_numpy(dtype=str)
                scores = classification_metrics(labels[test], given)
                row = {"each": each, "seed": seed, "method": method, "types": len(types)}
                row |= {"test_cells": len(test), **scores}
                print(row, flush=True)
                runs = pd.concat([runs, pd.DataFrame([row])], ignore_index=True)
                partial = path.with_suffix(".partial")
                runs.to_csv(partial, index=False)
                os.replace(partial, path)
    runs = runs[runs["each"].isin(options.each)].astype({"types": int, "test_cells": int})
    grouped = runs.groupby(["each", "types", "test_cells", "method"], sort=False)
    table = grouped[["accuracy", "macro_f1"]].agg(["mean", "std"])
    table.columns = ["_".join(column) for column in table.columns]
    return write(options, path.name.replace(".runs", ""), table.reset_index())


def labelled_cells(options, preset_vocabulary):
    """pbmc3k's labelled cells: counts, tokens of the model's vocabulary, and cell types."""
    import anndata
    import numpy as np

    import keras_geneformer as kg

    data = options.shared / "data"
    adata = anndata.read_h5ad(data / "counts" / "pbmc3k.h5ad")
    adata = adata[(adata.obs["cell_type"] != "unlabelled").to_numpy()].copy()
    vocabulary = (
        preset_vocabulary(options.model)
        if options.model
        else kg.GeneVocabulary.load(data / "dictionaries" / "pickles" / "V1")
    )
    cells = kg.RankValueTokenizer(vocabulary, max_length=options.tokens)(adata)
    return adata, cells, np.asarray(adata.obs["cell_type"].astype(str), dtype=str)


def few_of_each(labels, types, each, seed):
    """Rows to learn from, so many of each type, and all other rows of these types."""
    import numpy as np

    rng = np.random.default_rng([seed, each])
    drawn = [rng.permutation(np.flatnonzero(labels == kind))[:each] for kind in types]
    drawn = np.sort(np.concatenate(drawn))
    return drawn, np.setdiff1d(np.flatnonzero(np.isin(labels, types)), drawn)


def shuffled(backbone, seed):
    """The same backbone with other random weights."""
    import keras

    keras.utils.set_random_seed(seed)
    return type(backbone).from_config(backbone.get_config())


def draw(options):
    """The curve of `evidence`, for benchmarks/README.md."""
    import pandas as pd

    from keras_geneformer import plotting

    history = pd.read_csv(options.output / "evidence.history.csv")
    found = json.loads((options.output / "evidence.json").read_text())
    print(
        plotting.loss_curve(
            history,
            options.images / "pretraining-evidence.png",
            baseline=found["informed"],
            baseline_label="informed guess",
            title="Guessing hidden genes, held-out cells",
            ylabel="cross-entropy (nats)",
        )
    )


def write(options, name, table):
    """Writes a table and prints it as the README shows it."""
    table.to_csv(options.output / name, index=False)
    rounded = table.round(4).astype(object)
    print("| " + " | ".join(map(str, table.columns)) + " |")
    print("|" + "---|" * len(table.columns))
    for row in rounded.itertuples(index=False):
        print("| " + " | ".join("" if value != value else str(value) for value in row) + " |")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["evidence", "scaling", "finetune", "draw"])
    parser.add_argument("--output", type=Path, required=True, help="where runs are kept")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="the shared data")
    parser.add_argument("--images", type=Path, default=Path("docs/images"), help="of draw")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="genes of a cell")
    parser.add_argument("--cells", type=int, help="of the corpus, to try it in small (all)")
    parser.add_argument("--epochs", type=int, help="of pretraining (evidence 8, scaling 2)")
    parser.add_argument("--model", help="finetune: a preset in place of the model of evidence")
    parser.add_argument("--each", type=int, nargs="+", default=CELLS_A_TYPE, help="cells a type")
    parser.add_argument("--seeds", type=int, default=5, help="of finetune (%(default)s)")
    parser.add_argument(
        "--steps", type=int, default=FINETUNING_STEPS, help="of fine-tuning, about (%(default)s)"
    )
    options = parser.parse_args()
    options.epochs = options.epochs or EPOCHS.get(options.what)
    return options


if __name__ == "__main__":
    given = parse()
    given.output.mkdir(parents=True, exist_ok=True)
    globals()[given.what](given)
