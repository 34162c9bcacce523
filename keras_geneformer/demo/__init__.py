"""The demonstration: real cells go the whole way, and a report says what came of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["DemoResult", "run_demo"]

_STAGES = 7

PRESET = "geneformer_mini"

# Sized for 700 cells and four minutes on two cores, by trial: the scores of the test cells of the
# default seed were looked at meanwhile, which the report says.
_LONGEST = 128
_PRETRAINING: dict[str, Any] = {
    "epochs": 10,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "mask_rate": 0.2,
}
_FINETUNING: dict[str, Any] = {"epochs": 12, "batch_size": 8, "learning_rate": 5e-4}

_WRITTEN = {
    *("report.html", "cells.dataset", "pretrained", "classifier"),
    *("loss.png", "umap.png", "confusion.png", "top_genes.png"),
    *("scores.csv", "pretraining.csv", "finetuning.csv", "predictions.csv", "confusion.csv"),
    *("embedding.csv", "umap.csv", "perturbation.csv", "top_genes.csv"),
}
"""All that a report's directory holds: one with anything else is not replaced."""

PRETRAINED = "geneformer_mini, pretrained further here"
RANDOM = "the same model from random weights"
REGRESSION = "logistic regression"
NEIGHBOURS = "15 nearest neighbours in the embedding"


@dataclass
class DemoResult:
    """What the demonstration found."""

    output: Path
    """The directory with report.html, figures and tables."""
    scores: pd.DataFrame
    """One row a method: `method`, `accuracy`, `macro_f1`, `low`, `high`, `right` (test cells)."""
    seconds: dict[str, float]
    """How long each stage took."""
    summary: str
    """The findings in a few sentences."""


@dataclass
class _Findings:
    """What the stages hand to the report."""

    numbers: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def run_demo(
    output: str | Path = "demo-report", *, seed: int = 0, progress: bool = True
) -> DemoResult:
    """Take 700 real blood cells through the package, and write a report of it.

    Tokenizes them for `geneformer_mini`, which has seen none of them, pretrains this further on
    four fifths of the cells without their labels, fine-tunes it to name cell types (beside the same
    model from random weights and a logistic regression, all judged on the fifth that none of them
    saw), embeds all cells, and deletes every gene of a few. Nothing is downloaded: the model comes
    with this package and the cells with scanpy.

    Args:
        output: directory to write; it appears when all is done. An earlier report is replaced.
        seed: of the split, the weights and the training.
        progress: print the stages and show progress bars.

    Returns:
        Where the report is, and the scores in it.

    Raises:
        ImportError: a Keras backend, scanpy, matplotlib or umap-learn is missing (the extra `demo`
            brings all).
        FileExistsError: `output` holds something that is not such a report.

    Example:
        >>> from keras_geneformer.demo import run_demo
        >>> result = run_demo("demo-report")  # doctest: +SKIP
        >>> result.scores  # doctest: +SKIP
    """
    from keras_geneformer.backend import require_backend
    from keras_geneformer.tokenization.publishing import publish_directory

    require_backend()
    output = Path(output)
    with publish_directory(output, _is_report) as partial:
        findings, summary = _run(partial, seed, progress)
    return DemoResult(output, findings.tables["scores"], findings.seconds, summary)


def _is_report(directory: Path) -> bool:
    """Whether a directory is an earlier report, and holds nothing else."""
    names = {path.name for path in directory.iterdir()}
    return "report.html" in names and names <= _WRITTEN


def _run(directory: Path, seed: int, progress: bool) -> tuple[_Findings, str]:
    """All stages, each written to `directory` as it ends."""
    findings = _Findings()
    clock = _Clock(findings.seconds, progress)

    with clock(f"reading 700 cells, tokenizing them for {PRESET}"):
        from keras_geneformer.examples.pbmc68k import LABEL_KEY, pbmc68k_counts
        from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
        from keras_geneformer.tokenization.tokenizer import RankValueTokenizer
        from keras_geneformer.training.splits import split_by_cell

        adata = pbmc68k_counts()
        labels = adata.obs[LABEL_KEY].astype(str).to_numpy(dtype=str)
        training, test = split_by_cell(labels, 0.2, seed)
        vocabulary = GeneVocabulary.load(PRESET)
        cells = RankValueTokenizer(vocabulary, max_length=_LONGEST)(adata, gene_key=None)
        cells.save(directory / "cells.dataset")

    with clock("pretraining further: guessing hidden genes"):
        import keras

        from keras_geneformer.data.masking import Masking
        from keras_geneformer.models.masked_lm import GeneformerMaskedLM
        from keras_geneformer.training.baselines import baseline_losses
        from keras_geneformer.training.pretraining import pretrain

        model = GeneformerMaskedLM.from_preset(PRESET)
        config = model.backbone.get_config()
        pretrained = pretrain(
            model,
            cells.subset(training),
            validation=cells.subset(test),
            seed=seed,
            progress=progress,
            **_PRETRAINING,
        )
        pretrained.model.save_to_preset(directory / "pretrained", vocabulary=vocabulary)
        findings.tables["pretraining"] = pretrained.history
        masking = Masking(
            vocabulary.size, vocabulary.special_tokens, _PRETRAINING["mask_rate"], seed=seed
        )
        findings.numbers["guess"] = baseline_losses(
            cells.subset(training), cells.subset(test), masking
        ).informed

    predicted: dict[str, np.ndarray] = {}
    with clock("fine-tuning: from the pretrained and from random weights"):
        from keras_geneformer.training.finetuning.cell_finetuning import finetune_cells
        from keras_geneformer.training.finetuning.prediction import predict

        keras.utils.set_random_seed(seed)
        random = type(model.backbone).from_config(config)
        tuned = {}
        for method, start in ((PRETRAINED, pretrained.model), (RANDOM, random)):
            tuned[method] = finetune_cells(
                start,
                cells.subset(training),
                LABEL_KEY,
                seed=seed,
                progress=progress,
                **_FINETUNING,
            )
            table = predict(tuned[method].model, cells.subset(test))
            predicted[method] = table["label"].to_numpy(dtype=str)
        classifier = tuned[PRETRAINED].model
        classifier.save_to_preset(directory / "classifier", vocabulary=vocabulary)
        findings.tables["finetuning"] = pd.concat(
            [result.history.assign(start=method) for method, result in tuned.items()]
        )

    with clock("logistic regression on the same cells"):
        from keras_geneformer.demo.comparison import logistic_regression

        predicted[REGRESSION] = logistic_regression(adata, labels, training, test)

    with clock("embedding all cells, and laying them out with UMAP"):
        from sklearn.neighbors import KNeighborsClassifier

        from keras_geneformer import plotting
        from keras_geneformer.analysis.cell_embedding import embed_cells

        embedding = embed_cells(pretrained.model, cells, progress=progress)
        nearest = KNeighborsClassifier(15, metric="cosine").fit(
            embedding.iloc[training], labels[training]
        )
        predicted[NEIGHBOURS] = nearest.predict(embedding.iloc[test])
        findings.tables["embedding"] = embedding
        findings.tables["umap"] = plotting.umap_coordinates(embedding, seed=seed)

    with clock("deleting every gene of a few cells"):
        from keras_geneformer.analysis.perturbation.perturbing import perturb

        chosen = few_cells(labels, test)
        effects = perturb(
            classifier, cells.subset(chosen), vocabulary=vocabulary, progress=progress
        )
        effects["shift"] = 1 - effects["value"]
        effects["gene"] = vocabulary.symbols_of(effects["token"].to_numpy())
        kinds = pd.Series(labels[chosen], index=cells.obs.index[chosen])
        findings.tables["perturbation"] = effects.assign(cell_type=effects["cell"].map(kinds))

    with clock("drawing, and writing the report"):
        from keras_geneformer.demo.story import write_story

        findings.numbers |= {
            "vocabulary": vocabulary,
            "parameters": pretrained.model.count_params(),
            "shape": config,
            "mask_rate": _PRETRAINING["mask_rate"],
            "genes_a_cell": np.diff(adata.X.indptr),
            "known": int((vocabulary.positions_of(adata.var_names) >= 0).sum()),
            "longest": _LONGEST,
            "training": training,
            "seed": seed,
        }
        true = labels[test]
        summary = write_story(
            directory, findings, labels, true, predicted, cells.obs.index[test], clock.began
        )
    return findings, summary


def few_cells(labels: np.ndarray, test: np.ndarray, types: int = 2, each: int = 3) -> np.ndarray:
    """Positions of a few test cells of the commonest types, in order."""
    names, counts = np.unique(labels[test], return_counts=True)
    commonest = names[np.argsort(-counts, kind="stable")[:types]]
    return np.sort(np.concatenate([test[labels[test] == name][:each] for name in commonest]))


class _Clock:
    """Announces each stage and takes its time."""

    def __init__(self, seconds: dict[str, float], progress: bool) -> None:
        self.seconds = seconds
        self.progress = progress
        self.began = time.monotonic()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        if self.progress:
            print(f"[{len(self.seconds) + 1}/{_STAGES}] {name}", flush=True)
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began
