import numpy as np
import pandas as pd
import pytest

from keras_geneformer.evaluation.statistics import corrected_t_test
from keras_geneformer.evaluation.verdict import comparison_summary, comparison_verdict

OURS = [0.90, 0.92, 0.91, 0.93, 0.89]


def table(**scores):
    rows = [
        {"method": method.replace("_", "-"), "fold": fold, "accuracy": score, "macro_f1": score}
        | {"cells": 20, "training_cells": 80, "seconds": 1.0}
        for method, values in scores.items()
        for fold, score in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows)


def said(**scores):
    made = table(**scores)
    return comparison_verdict(comparison_summary(made), made["fold"].nunique())


def test_summary_holds_means_intervals_and_the_corrected_test():
    svm = [0.88, 0.93, 0.85, 0.90, 0.88]
    summary = comparison_summary(table(geneformer=OURS, svm=svm))
    assert summary["method"].tolist() == ["geneformer", "svm"]
    row = summary.iloc[1]
    expected = corrected_t_test(OURS, svm, 0.25)
    assert (row["lead"], row["p"]) == (expected.difference, expected.p)
    assert row["macro_f1"] == pytest.approx(np.mean(svm))
    assert row["macro_f1_low"] < row["macro_f1"] < row["macro_f1_high"]
    assert row["seconds"] == 5
    assert np.isnan(summary.iloc[0]["p"])


def test_a_baseline_that_wins_is_said_to_win():
    better, best = np.add(OURS, 0.01), np.add(OURS, [0.05, 0.04, 0.05, 0.06, 0.05])
    assert said(geneformer=OURS, knn=better, svm=best) == (
        "A baseline wins: svm has macro-F1 0.960, accuracy 0.960 on average over 5 folds, "
        "Geneformer macro-F1 0.910, accuracy 0.910. That is a clear lead (0.050 macro-F1, "
        "p < 0.001). 2 of 2 baselines are ahead of Geneformer: svm, knn."
    )


def test_a_lead_that_chance_may_give_is_not_called_clear():
    words = said(geneformer=OURS, svm=[0.95, 0.80, 0.95, 0.80, 0.95])
    assert words.startswith("Geneformer labels the cells best: macro-F1 0.910")
    assert "Next is svm" in words
    assert "a lead that these folds do not tell from chance (0.020 macro-F1, p = 0.77)" in words


def test_pretraining_is_judged_against_the_best_random_network():
    words = said(geneformer=OURS, untrained_1=np.subtract(OURS, 0.2), untrained_6=OURS)
    assert "Geneformer and untrained-6 are equal" in words
    assert "Pretraining makes no difference against the best network from random weights" in words
    words = said(geneformer=OURS, untrained=[0.9, 0.8, 0.9, 0.8, 0.9])
    assert "That pretraining helps cannot be told from chance: 0.050 more macro-F1 than" in words
    words = said(geneformer=OURS, untrained=np.add(OURS, 0.02))
    assert words.startswith("A baseline wins: untrained")
    assert "Pretraining does not help here: 0.020 less macro-F1" in words


def test_accuracy_may_say_otherwise_and_one_fold_says_little():
    made = table(geneformer=[0.9], svm=[0.8])
    made.loc[made["method"] == "svm", "accuracy"] = 0.95
    words = comparison_verdict(comparison_summary(made), 1)
    assert "The lead is 0.100 macro-F1; one fold does not tell it from chance." in words
    assert words.endswith("By accuracy svm is ahead (0.950).")
    assert said(geneformer=OURS) == (
        "Geneformer alone was run: macro-F1 0.910, accuracy 0.910 over 5 folds."
    )
