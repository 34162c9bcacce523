"""Makes the preset `geneformer_mini` again: vocabulary, weights, model card.

    python weights/make_geneformer_mini.py --counts ../shared/data/counts --output geneformer_mini

About 20 minutes on two cores, and 2 GB of memory, with TensorFlow (KERAS_BACKEND chooses another).
It fits the vocabulary, tokenizes and runs the recipe `mini`, as `keras-geneformer fit-vocabulary`,
`tokenize` and `pretrain --recipe mini` do. Stopped at any moment, it goes on where it was. Labels
are not read.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

import keras_geneformer as kg
from keras_geneformer.data.masking import Masking
from keras_geneformer.plotting import loss_curve
from keras_geneformer.training.baselines import baseline_losses
from keras_geneformer.training.recipes import mini, run_recipe
from keras_geneformer.training.splits import split_by_cell

NAME = "geneformer_mini"
FILES = {
    "brain_ad_48x1000": "48 nuclei of the entorhinal cortex, Grubman 2019 (GSE138852)",
    "heart_ipsc_cm_day2_day5": "1,090 cells of differentiating heart muscle, as the R package "
    "scGPS carries them",
    "pancreas_4tech": "400 pancreas cells by CEL-seq, CEL-seq2, Fluidigm C1 and SMART-seq2 "
    "(GSE81076, GSE85241, GSE86469, E-MTAB-5061), as SeuratData's panc8 has them",
    "pbmc3k": "2,700 blood cells, 10x Genomics",
    "pbmc_5k_protein": "200 blood cells, 10x Genomics 5k protein, as scvi-tools carries them",
    "pbmc_eccite_rna_adt": "500 blood cells, ECCITE-seq (GSE126310), as CiteFuse carries them",
    "pbmc_kang_ifnb_1000": "1,000 blood cells, half of them stimulated with interferon beta, Kang "
    "2018 (GSE96583), as harmony carries them",
}
"""Every file of human counts there but pbmc68k_reduced, which the demonstration is on."""
GENES = 9000
SEED = 0

CARD = """
## What it is for

Trying this package out: tokenizing, embedding, fine-tuning and deleting genes on a laptop, offline.
It is a toy. It saw {cells:,} cells, the published Geneformer 30 or 104 million; it is not that
model, holds none of its weights, and its tokens are its own. Mostly blood, some pancreas and heart
muscle, few nuclei of the brain: of other tissues it knows nothing.

## Cells

Public data sets, human, raw counts:

{files}

Nine tenths of these cells trained the model, without labels; a tenth, drawn by cell with seed
{seed}, is the validation above. So an evaluation on these files, such as naming the cell types of
pbmc3k, is not on cells that the model has never seen, though on labels that it has not. It has not
seen pbmc68k_reduced, on which `keras-geneformer demo` runs. The vocabulary is the {genes:,} genes
detected in most cells of these files, held-out ones among them, with their medians there; it knows
Ensembl ids and symbols.

No licence is stated for the weights: the data sets come with terms of their own.

## What it has learned

Cross-entropy (nats) of guessing the {masked:,} hidden genes of the held-out cells:

| guess | loss |
|---|---|
| all genes alike | {alike:.3f} |
| gene frequency in the training cells | {unigram:.3f} |
| gene frequency at that rank ({bucket} ranks together) | {rank_position:.3f} |
| the same, knowing how genes are hidden | {informed:.3f} |
| geneformer_mini | {model:.3f} |

The fourth line guesses among the genes that are not in sight elsewhere in the cell, and is right
every second time where a hidden place shows a gene (one in five does; half of these are random).
What the model gains on it, it has from which genes go with which.
"""


def make(counts: Path, output: Path, work: Path) -> None:
    """Vocabulary, dataset, weights and card, each unless it is there."""
    files = [counts / f"{name}.h5ad" for name in FILES]
    recipe = mini()
    if not (work / "vocabulary").is_dir():
        vocabulary = kg.GeneVocabulary.fit(
            files, max_genes=GENES, max_length=recipe.max_length, name=NAME, progress=True
        )
        vocabulary.save(work / "vocabulary")
    dataset = work / f"{NAME}.dataset"
    if not dataset.is_dir():
        tokenizer = kg.RankValueTokenizer.from_preset(work / "vocabulary")
        tokenizer.tokenize_files(files, dataset, obs_columns=["n_counts"], progress=True)
    trained = work / NAME
    if not (trained / "preset.json").is_file():
        run_recipe(
            recipe,
            kg.CellDataset.load(dataset),
            trained,
            seed=SEED,
            checkpoint_every=100,
            data=", ".join(FILES),
            command="python weights/make_geneformer_mini.py --counts ../shared/data/counts",
            draw=draw,
        )
    describe(dataset, trained)
    shutil.copytree(trained, output, ignore=shutil.ignore_patterns("log.csv"))  # as history.csv
    held = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    print(f"{output}: {held / 1e6:.2f} MB")


def draw(history: pd.DataFrame, path: Path) -> None:
    """The loss over the steps, for the card."""
    loss_curve(history, path, title=NAME, ylabel="cross-entropy (nats)")


def describe(dataset: Path, trained: Path) -> None:
    """Puts what this model is, its cells and its baselines into the card that `pretrain` wrote."""
    recipe = mini()
    cells = kg.CellDataset.load(dataset)
    training, held = split_by_cell(np.zeros(len(cells)), recipe.validation, SEED)
    masking = Masking(cells.vocabulary_size, cells.special_tokens, recipe.mask_rate, seed=SEED)
    guesses = baseline_losses(cells.subset(training), cells.subset(held), masking)
    record = json.loads((trained / "training.json").read_text())
    genes = cells.vocabulary_size - len(cells.special_tokens)
    told = CARD.format(
        cells=len(training),
        files="\n".join(f"- `{name}`: {text}" for name, text in FILES.items()),
        seed=SEED,
        genes=genes,
        alike=np.log(genes),
        model=record["metrics"]["validation"]["loss"],
        **vars(guesses),
    )
    card = trained / "README.md"
    written = card.read_text().split("\n## What it is for\n")[0].rstrip("\n")
    card.write_text(f"{written}\n{told}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", type=Path, default=Path("../shared/data/counts"))
    parser.add_argument("--output", type=Path, default=Path(NAME), help="preset to write")
    parser.add_argument("--work", type=Path, default=Path("build") / NAME, help="what lies between")
    given = parser.parse_args()
    if given.output.exists():
        raise SystemExit(f"{given.output} is there already: remove it, or name another --output")
    given.work.mkdir(parents=True, exist_ok=True)
    make(given.counts, given.output, given.work)
