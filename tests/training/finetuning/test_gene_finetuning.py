import keras
import numpy as np
import pandas as pd
import pytest

import keras_geneformer as kg
from keras_geneformer.testing import tiny_backbone, tiny_vocabulary
from keras_geneformer.training.finetuning import gene_finetuning
from keras_geneformer.training.finetuning.batches import TargetBatches
from keras_geneformer.training.finetuning.gene_scores import GeneScores
from keras_geneformer.training.finetuning.gene_training import gene_targets

pytestmark = pytest.mark.tensors

VOCABULARY = tiny_vocabulary()
LISTS = {
    "marker": [f"GENE{number}" for number in range(6)],
    "other": [f"ENSG900000000{number}" for number in range(60, 68)],
}
OPTIONS = {"folds": 2, "batch_size": 20, "learning_rate": 1e-2, "progress": False}


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(num_layers=1, hidden_dim=16, initializer_range=0.1)


@pytest.fixture(scope="module")
def cells():
    """Thirty cells of 64 tokens each, so that there is one shape to compile."""
    rng = np.random.default_rng(0)
    genes = [rng.permutation(VOCABULARY.tokens)[:64] for _ in range(30)]
    return kg.CellDataset(genes, vocabulary=VOCABULARY)


@pytest.fixture(scope="module")
def learnt(backbone, cells, tmp_path_factory):
    """One training, on all genes: each more would be compiled anew."""
    output = tmp_path_factory.mktemp("genes") / "markers"
    options = OPTIONS | {"folds": None, "cells_used": 20, "epochs": 20, "output": output}
    options |= {"sampling": "upsample", "class_weights": "balanced", "head_dropout": 0.0}
    wanted = ["GENE100", "GENE3", "GENE70"]
    return kg.finetune_genes(backbone, cells, LISTS, score_all=wanted, **options), output


def test_genes_are_learnt_and_others_scored(learnt, cells):
    result, output = learnt
    assert result.cells == 20
    assert result.genome["symbol"].tolist() == ["GENE70", "GENE100"]
    table = kg.predict_genes(output, cells, [*LISTS["marker"], *LISTS["other"]])
    assert (table["prob_marker"][:6].mean() - table["prob_marker"][6:].mean()) > 0.3
    np.testing.assert_allclose(table["prob_marker"] + table["prob_other"], 1)
    assert table["cells"].between(1, 30).all()
    assert (output / "gene_list.txt").read_text() == result.report.text() + "\n"
    kept = pd.read_csv(output / "genome.csv")
    np.testing.assert_allclose(kept["prob_other"], result.genome["prob_other"])
    assert not (output / "folds.csv").exists()


@pytest.mark.skipif(
    keras.config.backend() != "torch", reason="other backends compile every fold's training anew"
)
def test_a_whole_cross_validation(backbone, cells, tmp_path):
    options = {"validation": 0.2, "early_stopping": 2, "published": True, "lora": 2, "epochs": 4}
    output = tmp_path / "markers"
    result = kg.finetune_genes(backbone, cells, LISTS, output=output, **OPTIONS, **options)
    predictions = result.predictions
    assert predictions["ensembl_id"].is_unique
    assert sorted(predictions.groupby("fold").size()) == [7, 7]
    assert dict(predictions["true"].value_counts()) == {"other": 8, "marker": 6}
    assert result.folds["genes"].tolist() == [7, 7]
    assert result.summary["auc_mean_of_folds"] == pytest.approx(result.folds["auc"].mean())
    assert 0 <= result.summary["published_auc_mean"] <= 1
    assert "mean and sd over 2 folds of genes" in result.text()
    assert sorted(set(result.history["fold"])) == [0, 1, 2]
    assert result.history["validation_auc"].notna().any()
    kept = pd.read_csv(output / "genes.csv")
    np.testing.assert_allclose(kept["prob_other"], predictions["prob_other"])
    assert not list(tmp_path.glob(".*folds"))


@pytest.fixture
def trained(monkeypatch, stop):
    """What would be trained: here classifiers keep their first weights, and scores follow these."""
    trained = []

    def train(backbone, cells, genes, rows, settings, *, seed, description, **options):
        trained.append((description, set(rows.tolist())))
        if stop and len(trained) == 2:
            raise KeyboardInterrupt
        keras.utils.set_random_seed(seed)
        classifier = kg.GeneformerGeneClassifier(backbone, classes=list(genes.classes))
        return classifier, pd.DataFrame({"step": [1], "loss": [float(seed)]})

    def score(self, classifier, tokens, **options):
        scores = GeneScores(tokens, VOCABULARY.size, classifier.num_classes)
        kernel = keras.ops.convert_to_numpy(classifier.get_layer("scores").kernel)[:1]
        scores.add(tokens[None], np.multiply.outer(tokens[None] / 100, kernel[0]))
        return scores

    monkeypatch.setattr(gene_finetuning, "train_gene_classifier", train)
    monkeypatch.setattr(gene_finetuning.GeneScorer, "score", score)
    return trained


@pytest.mark.parametrize("stop", [True])
def test_a_stopped_run_goes_on_after_its_finished_folds(backbone, cells, tmp_path, trained):
    place = {"output": tmp_path / "markers"}
    with pytest.raises(KeyboardInterrupt):
        kg.finetune_genes(backbone, cells, LISTS, **place, **OPTIONS)
    assert not (tmp_path / "markers").exists()
    other = OPTIONS | {"learning_rate": 2e-2, "folds": 3}
    with pytest.raises(
        ValueError,
        match=r"markers\.folds holds finished folds of another run \(learning_rate was 0\.01 and "
        r"is 0\.02; folds was 2 and is 3\): call it as that one",
    ):
        kg.finetune_genes(backbone, cells, LISTS, **place, **other)
    with pytest.raises(ValueError, match=r"another run \(the cells are not the same\): call it as"):
        kg.finetune_genes(backbone, cells.subset(np.arange(29)), LISTS, **place, **OPTIONS)
    gone_on = kg.finetune_genes(backbone, cells, LISTS, **place, **OPTIONS)
    assert [name for name, _ in trained] == ["fold 1 of 2", *["fold 2 of 2"] * 2, "all genes"]
    assert gone_on.history["fold"].tolist() == [1, 2, 0]
    assert (tmp_path / "markers" / "folds.csv").is_file()
    assert not list(tmp_path.glob(".*folds"))
    whole = kg.finetune_genes(backbone, cells, LISTS, **OPTIONS)
    pd.testing.assert_frame_equal(gone_on.predictions, whole.predictions)


@pytest.mark.parametrize("stop", [False])
def test_each_gene_is_scored_by_a_model_that_never_saw_it(backbone, cells, trained):
    result = kg.finetune_genes(backbone, cells, LISTS, **(OPTIONS | {"folds": 3}))
    fold_of = result.predictions["fold"].to_numpy()
    for number, (_, rows) in enumerate(trained[:3], start=1):
        assert rows == set(np.flatnonzero(fold_of != number).tolist())
    assert trained[3][1] == set(range(14))
    assert sorted(result.predictions.groupby("fold").size()) == [4, 5, 5]


@pytest.mark.parametrize("stop", [False])
def test_without_folds_nothing_is_held_out(backbone, cells, trained):
    lists = LISTS | {"third": ["GENE20", "GENE21"]}
    result = kg.finetune_genes(backbone, cells, lists, **(OPTIONS | {"folds": None}))
    assert [name for name, _ in trained] == ["all genes"]
    assert result.model.classes == ["marker", "other", "third"]
    assert result.predictions.empty
    assert result.summary == {}
    assert result.genome is None
    assert result.text().startswith("no genes were held out\n30 cells\nthe list: 16 rows; taken:")


def test_only_training_genes_count():
    cells = kg.CellDataset([np.arange(2, 2 + length) for length in (90, 5, 80, 20, 33, 7)])
    tokens, labels = np.array([9, 4, 70]), np.array([1, 0, 1])
    targets = gene_targets(tokens, labels, np.array([1, 0, 2]), VOCABULARY.size)
    batches = TargetBatches(cells, targets, batch_size=4)
    seen = 0
    for inputs, classes, weights in batches:
        ids = inputs["token_ids"]
        np.testing.assert_array_equal(weights, (ids == 9) + 2.0 * (ids == 70))
        np.testing.assert_array_equal(classes == 1, (ids == 9) | (ids == 70))
        assert classes.dtype == np.int32
        assert (weights[inputs["padding_mask"] == 0] == 0).all()
        seen += (weights > 0).sum()
    assert seen == sum(np.isin(ids, [9, 70]).sum() for ids in cells)


@pytest.mark.parametrize(
    ("genes", "options", "message"),
    [
        (LISTS, {"folds": 7}, r"The class 'marker' has 6 genes in the cells, and 7 folds need 7"),
        ({"a": ["GENE1"], "b": ["NONE"]}, {}, r"The 1 genes of the list that can be used are all"),
        ({"a": ["X"], "b": ["Y"]}, {}, r"None of the 2 genes of the list can be used: 2 are not"),
        (LISTS, {"sampling": "balanced"}, r"Received sampling='balanced', which makes batches of"),
        (LISTS, {"pooling": "mean"}, r"Received pooling='mean' and distribute=None, which are f"),
        (LISTS, {"early_stopping": 1}, r"Received early_stopping=1 without validation: give the"),
        (
            LISTS,
            {"validation": 1.0},
            r"Received validation=1\.0; expected a share of the training g",
        ),
        (
            LISTS | {"marker": ["GENE1", "GENE2"]},
            {"validation": 0.1},
            r"The class 'marker' has 1 gene to train on in a fold, and with validation each class",
        ),
        (LISTS, {"cells_used": 0}, r"Received cells_used=0; expected 1 or more, or None for all"),
        (LISTS, {"score_all": "some"}, r"Received genes='some'; expected \"all\" or a list of g"),
        (LISTS, {"score_all": ["NOPE"]}, r"1 of 1 genes are not in the vocabulary: NOPE\."),
        (
            {"a": ["GENE1"], "b": ["GENE2"], "c": ["GENE3"]},
            {"published": True},
            r"Received published=True for 3 classes; the published package has an AUC of two cl",
        ),
    ],
)
def test_refuses(backbone, cells, genes, options, message):
    with pytest.raises(ValueError, match=message):
        kg.finetune_genes(backbone, cells, genes, **(OPTIONS | options))


def test_refuses_cells_without_vocabulary_or_without_the_genes(backbone, cells):
    bare = kg.CellDataset([np.arange(20, 40)])
    with pytest.raises(
        ValueError, match=r"To find genes by name the vocabulary is needed, and nei"
    ):
        kg.finetune_genes(backbone, bare, LISTS, progress=False)
    with pytest.raises(
        ValueError, match=r"None of the 14 genes of the list is in any of the cells"
    ):
        kg.finetune_genes(backbone, bare, LISTS, vocabulary=VOCABULARY, progress=False)
    with pytest.raises(
        ValueError, match=r"Received a GeneformerBackbone to predict with; expected"
    ):
        kg.predict_genes(backbone, cells)
