"""Which method labels cells best, and how sure 142 cells make us: numbers, and words for them."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from keras_geneformer.evaluation.count_features import log_normalised
from keras_geneformer.training.metrics import classification_metrics


def logistic_regression(
    adata: "object", labels: np.ndarray, training: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Labels of the test cells by scikit-learn's logistic regression.

    Multinomial, L2 with scikit-learn's default C=1, on log(1 + counts per 10,000) of all genes of
    the file, with the same n_counts as the tokenizer.

    Args:
        adata: counts, with `obs["n_counts"]`.
        labels: of all cells.
        training: positions of the cells to learn from.
        test: positions of the cells to label.
    """
    totals = adata.obs["n_counts"].to_numpy(dtype=np.float64)  # type: ignore[attr-defined]
    features = log_normalised(adata.X, totals).toarray()  # type: ignore[attr-defined]
    model = LogisticRegression(max_iter=1000).fit(features[training], labels[training])
    return model.predict(features[test])


def score_table(true: np.ndarray, predicted: dict[str, np.ndarray]) -> pd.DataFrame:
    """Accuracy and macro-F1 of each method on the test cells, the best accuracy first.

    `low` and `high` bound the accuracy at 95 %, by resampling the cells 2,000 times.
    """
    rng = np.random.default_rng(0)
    draws = rng.integers(len(true), size=(2000, len(true)))
    rows = []
    for method, labels in predicted.items():
        right = labels == true
        low, high = np.quantile(right[draws].mean(axis=1), (0.025, 0.975))
        metrics = classification_metrics(true, labels)
        rows.append({"method": method, **metrics, "low": low, "high": high, "right": right.sum()})
    table = pd.DataFrame(rows)
    return table.sort_values(["accuracy", "macro_f1"], ascending=False, ignore_index=True)


def verdict(true: np.ndarray, predicted: dict[str, np.ndarray]) -> str:
    """Who is ahead, and whether that could be the luck of the draw (paired, 2,000 resamplings)."""
    table = score_table(true, predicted)
    first, second = table["method"][:2]
    ahead = _share_of_draws_ahead(true, predicted[first], predicted[second])
    right = dict(zip(table["method"], table["right"]))
    lead = right[first] - right[second]
    if lead == 0:
        return (
            f"{_upper(first)} and {second} label as many of the {len(true)} test cells rightly "
            f"({right[first]}); by macro-F1 {first} is ahead."
        )
    known = "a clear lead" if ahead >= 0.975 else "too small a lead to rely on"
    return (
        f"{_upper(first)} labels the most test cells rightly, {right[first]} of {len(true)}: "
        f"{lead} more than {second}. That is {known}: it is ahead in {_percent(ahead)} of "
        "resampled sets of test cells."
    )


def pretraining_verdict(true: np.ndarray, pretrained: np.ndarray, random: np.ndarray) -> str:
    """What pretraining was worth to fine-tuning."""
    gain = int((pretrained == true).sum() - (random == true).sum())
    ahead = _share_of_draws_ahead(true, pretrained, random)
    if gain > 0:
        sure = "clearly" if ahead >= 0.975 else "though not beyond doubt"
        return (
            f"Pretraining helps, {sure}: the model that was pretrained labels {gain} more of "
            f"{len(true)} cells rightly than the same model from random weights (ahead in "
            f"{_percent(ahead)} of resampled sets)."
        )
    if gain == 0:
        return (
            "Pretraining makes no difference to the number of cells labelled rightly here: so few "
            "cells and genes teach the model little that the labels do not."
        )
    return (
        f"Pretraining does not help here: from random weights the same model labels {-gain} more "
        f"of {len(true)} cells rightly. So few cells teach little that the labels do not."
    )


def _share_of_draws_ahead(true: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """Share of resampled test sets in which `one` labels more cells rightly than `other`."""
    difference = (one == true).astype(int) - (other == true).astype(int)
    draws = np.random.default_rng(0).integers(len(true), size=(2000, len(true)))
    return float((difference[draws].sum(axis=1) > 0).mean())


def _percent(share: float) -> str:
    """A share of 2,000 draws, which never proves that it is all of them."""
    return "over 99%" if share > 0.99 else f"{share:.0%}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
