"""Who is ahead, and whether that can be relied on: numbers, and words for them."""

import math
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.evaluation.baselines import is_untrained
from keras_geneformer.evaluation.fold_scores import GENEFORMER, METRICS
from keras_geneformer.evaluation.statistics import bootstrap_interval, corrected_t_test

_SURE = 0.05


def comparison_summary(table: pd.DataFrame) -> pd.DataFrame:
    """What the folds of each method come to, the best macro-F1 first.

    Args:
        table: a row a method and fold: `method`, `fold`, `accuracy`, `macro_f1`, `cells`,
            `training_cells`, `seconds`.

    Returns:
        A row a method: `method`; for `accuracy` and `macro_f1` the mean over folds, `_sd`, and
        `_low`, `_high`, its 95 % bootstrap interval; `seconds` of all folds; `lead`, Geneformer's
        macro-F1 less the method's, and `p` of it (and `accuracy_lead`, `accuracy_p`) by the
        corrected resampled t-test, NaN for Geneformer itself and with one fold. No p is corrected
        for the number of methods.
    """
    scores = {
        metric: table.pivot(index="fold", columns="method", values=metric) for metric in METRICS
    }
    share = float((table["cells"] / table["training_cells"]).mean())
    rows = []
    for method in table["method"].unique():
        row: dict[str, Any] = {"method": method}
        for metric, by_method in scores.items():
            own = by_method[method].to_numpy(dtype=np.float64)
            row[metric] = own.mean()
            row[f"{metric}_sd"] = own.std(ddof=1) if len(own) > 1 else math.nan
            row[f"{metric}_low"], row[f"{metric}_high"] = bootstrap_interval(own)
        row["seconds"] = table.loc[table["method"] == method, "seconds"].sum()
        for metric, name in (("macro_f1", ""), ("accuracy", "accuracy_")):
            row[f"{name}lead"] = row[f"{name}p"] = math.nan
            if method != GENEFORMER:
                ours, own = (scores[metric][each].to_numpy() for each in (GENEFORMER, method))
                test = corrected_t_test(ours, own, share)
                row[f"{name}lead"], row[f"{name}p"] = test.difference, test.p
        rows.append(row)
    summary = pd.DataFrame(rows)
    return summary.sort_values(
        ["macro_f1", "accuracy"], ascending=False, ignore_index=True, kind="stable"
    )


def comparison_verdict(summary: pd.DataFrame, folds: int) -> str:
    """Who labels cells best, in a few sentences; a baseline that wins is said to win.

    Args:
        summary: from `comparison_summary`.
        folds: how many.
    """
    by_method = summary.set_index("method")
    ours = by_method.loc[GENEFORMER]
    others = by_method.drop(GENEFORMER)
    over = f"over {folds} folds" if folds > 1 else "in one fold"
    if others.empty:
        return f"Geneformer alone was run: {_scores(ours)} {over}."
    best = others.index[0]
    theirs = others.iloc[0]
    lead = float(theirs["lead"])
    ahead = others.index[others["lead"] < 0].tolist()
    if lead > 0:
        said = [
            f"Geneformer labels the cells best: {_scores(ours)} on average {over}. Next is "
            f"{best}: {_scores(theirs)}. {_reliance(lead, theirs['p'])}"
        ]
    elif lead < 0:
        said = [
            f"A baseline wins: {best} has {_scores(theirs)} on average {over}, Geneformer "
            f"{_scores(ours)}. {_reliance(-lead, theirs['p'])}"
        ]
        if len(ahead) > 1:
            said.append(
                f"{len(ahead)} of {len(others)} baselines are ahead of Geneformer: "
                f"{', '.join(ahead)}."
            )
    else:
        said = [f"Geneformer and {best} are equal: {_scores(ours)} on average {over}."]
    # By the other measure it may be another who is first.
    first = by_method["accuracy"].idxmax()
    if by_method.loc[first, "accuracy"] > by_method.loc[summary["method"][0], "accuracy"]:
        name = "Geneformer" if first == GENEFORMER else first
        said.append(f"By accuracy {name} is ahead ({by_method.loc[first, 'accuracy']:.3f}).")
    return " ".join(said + _worth(others))


def _worth(others: pd.DataFrame) -> list[str]:
    """What pretraining was worth, against the best network from random weights."""
    random = others[[is_untrained(name) for name in others.index]]
    if random.empty:
        return []
    lead, p = float(random["lead"].iloc[0]), float(random["p"].iloc[0])
    against = f"the best network from random weights ({random.index[0]})"
    if lead == 0:
        return [f"Pretraining makes no difference against {against}."]
    if lead < 0:
        said = "Pretraining does not help here"
    elif p < _SURE:
        said = "Pretraining helps, clearly"
    else:
        said = "That pretraining helps cannot be told from chance"
    more = "more" if lead > 0 else "less"
    return [f"{said}: {abs(lead):.3f} {more} macro-F1 than {against}, {_p(p)}."]


def _scores(row: Any) -> str:
    return f"macro-F1 {row['macro_f1']:.3f}, accuracy {row['accuracy']:.3f}"


def _reliance(lead: float, p: float) -> str:
    if math.isnan(p):
        return f"The lead is {lead:.3f} macro-F1; one fold does not tell it from chance."
    known = "a clear lead" if p < _SURE else "a lead that these folds do not tell from chance"
    return f"That is {known} ({lead:.3f} macro-F1, {_p(p)})."


def _p(p: float) -> str:
    if math.isnan(p):
        return "of one fold"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
