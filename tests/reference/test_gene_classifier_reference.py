"""Scores of genes, their averages over cells and their figures, against the published package's."""

import json

import numpy as np
import pandas as pd
import pytest

import keras_geneformer as kg
from keras_geneformer.training.finetuning.gene_folds import position_roc
from keras_geneformer.training.finetuning.gene_prediction import gene_table
from keras_geneformer.training.finetuning.gene_scores import score_genes
from keras_geneformer.training.metrics import classification_metrics, confusion_table

pytestmark = pytest.mark.tensors


def test_genes_of_the_pancreas(reference, dictionaries):
    expected = json.loads((reference / "classifier" / "predict_gene.json").read_text())
    vocabulary = kg.GeneVocabulary.load(dictionaries / "V1")
    inputs = pd.read_parquet(reference / "classifier" / "predict_cell.inputs.parquet")
    # The published package drops the last batch, here of one cell.
    cells = kg.CellDataset(inputs["input_ids"].tolist()[:15], vocabulary=vocabulary)
    classes = expected["gene_class_ids"]
    lists = {
        name: [gene for gene, number in classes.items() if str(number) == name] for name in "01"
    }
    genes = kg.read_gene_classes(lists, vocabulary)
    assert len(genes) == len(classes)
    classifier = kg.GeneformerGeneClassifier.from_preset(
        reference / "checkpoints" / expected["model"]
    )
    scores = score_genes(classifier, cells, genes.tokens, batch_size=15, keep_positions=True)

    # The reference lists positions cell after cell, in the order of tokens.
    labels = dict(zip(genes.tokens.tolist(), genes.labels.tolist()))
    tokens = np.concatenate([ids[np.isin(ids, genes.tokens)] for ids in cells])
    assert [labels[token] for token in tokens.tolist()] == expected["labels"]
    probabilities = np.exp(np.array(expected["logits"]))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    rows = pd.DataFrame(probabilities).groupby(tokens)
    table = gene_table(scores, genes.tokens, ["0", "1"], vocabulary)
    present = np.isin(genes.tokens, tokens)
    assert (table["cells"] == 0).to_numpy().tolist() == (~present).tolist()
    np.testing.assert_allclose(table.loc[present, "prob_1"], rows.mean()[1], atol=2e-5)
    np.testing.assert_allclose(table.loc[present, "sd"], rows[1].std(ddof=0), atol=2e-5)
    assert table.loc[present, "cells"].tolist() == rows.size().tolist()

    gene, probability = scores.positions()
    area, points = position_roc(genes.labels[gene], probability)
    # Float32 scores that nearly tie may change places.
    assert area == pytest.approx(expected["roc_metrics"]["auc"], abs=1e-3)
    assert abs(points - expected["roc_metrics"]["tpr_wt"]) <= 5
    predicted = (probability > 0.5).astype(int)
    metrics = classification_metrics(genes.labels[gene], predicted)
    assert metrics["accuracy"] == pytest.approx(expected["acc"])
    assert metrics["macro_f1"] == pytest.approx(expected["macro_f1"])
    table = confusion_table(genes.labels[gene], predicted, [0, 1])
    assert table.to_numpy().tolist() == expected["conf_mat"]
