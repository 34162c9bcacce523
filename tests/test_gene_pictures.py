import numpy as np
import pandas as pd
import pytest

from keras_geneformer import plotting
from keras_geneformer.gene_report import write_gene_report
from keras_geneformer.tokenization.genes.gene_list_report import GeneListReport
from keras_geneformer.training.finetuning.gene_folds import fold_table, summary_of

CLASSES = ("dosage_insensitive", "dosage_sensitive")


def held_out(classes=CLASSES, genes=60):
    rng = np.random.default_rng(0)
    codes = np.arange(genes) % len(classes)
    scores = rng.normal(size=(genes, len(classes)))
    scores[np.arange(genes), codes] += 1.0
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    table = pd.DataFrame(shares, columns=[f"prob_{name}" for name in classes])
    names = np.asarray(classes, dtype=object)
    return table.assign(
        symbol=[f"GENE{number}" for number in range(genes)],
        true=names[codes],
        label=names[shares.argmax(axis=1)],
        fold=np.arange(genes) // 2 % 5 + 1,
        sd=0.01,
        cells=7,
    )


@pytest.mark.parametrize("classes", [CLASSES, ("bivalent", "lys4_only", "no_methylation")])
def test_pictures_of_folds_and_scores(tmp_path, classes):
    table = held_out(classes)
    for draw in (plotting.fold_roc_curves, plotting.score_distribution):
        draw(table, tmp_path / "picture.png", title="Genes")
        assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]


def test_pictures_that_cannot_be_drawn(tmp_path):
    table = held_out()
    with pytest.raises(
        ValueError, match=r"a picture of held-out genes needs a row, columns true, f"
    ):
        plotting.fold_roc_curves(table.drop(columns="fold"), tmp_path / "a.png")
    with pytest.raises(
        ValueError, match=r"no fold has genes of every class: there is no ROC curve"
    ):
        plotting.fold_roc_curves(table.assign(fold=np.arange(60)), tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"no column 'prob_dosage': the classes are dosage_insens"):
        plotting.score_distribution(table, tmp_path / "a.png", label="dosage")
    assert not list(tmp_path.iterdir())


class _Result:
    """What the report reads of a `GeneResult`."""

    def __init__(self):
        self.predictions = held_out()
        self.folds = fold_table(self.predictions, CLASSES)
        self.summary = summary_of(self.predictions, self.folds, CLASSES)
        self.genome = self.predictions.drop(columns=["true", "fold"])
        self.history = pd.DataFrame({"fold": [1, 0, 0], "step": [1, 1, 2], "loss": [0.7, 0.7, 0.6]})
        self.report = GeneListReport("a<b.csv", 60, taken=dict.fromkeys(CLASSES, 30))
        self.cells = 12
        self.model = type("Model", (), {"classes": list(CLASSES)})


def test_the_report_holds_figures_pictures_and_genes(tmp_path):
    result = _Result()
    page = write_gene_report(result, tmp_path, title="Dosage").read_text()
    assert page.count("<img") == 4
    assert f"{result.summary['auc_mean_of_folds']:.3f}" in page
    assert f"{result.summary['auc_pooled']:.3f}" in page
    assert "a&lt;b.csv: 60 rows; taken: 30 dosage_insensitive" in page
    best = result.predictions.nlargest(1, "prob_dosage_insensitive")["symbol"].iloc[0]
    assert page.count(f"<td>{best}</td>") == 2
    assert "A fold holds as few as 6 genes of a class, so that its AUC moves much by chance" in page
    result.folds, result.genome = result.folds.iloc[:0], None
    assert write_gene_report(result, tmp_path / "alone").read_text().count("<img") == 1
