"""Recall of a gradient screen of deletions against all deletions computed, on real cells.

    python benchmarks/screen.py geneformer_mini pbmc3k.dataset --state cell_type

Takes tokenized cells, and the model that they are for. Of each of `--count` cells all deletions are
computed and screened, for each of the measures: the cosine of the cell to itself with mean pooling,
and with the first token's state; and, with `--state`, the shift of a cell of the commonest value of
that column of obs towards the second commonest. The table gives means over cells: the share of the
20 strongest deletions that are among the k first of the screen, Spearman's correlation, and how
many times fewer forward passes the screen and k deletions take than all deletions.

`beyond rank` is what is left of a measure after the mean of the 15 nearest genes by rank is taken
away, since most of what a deletion does is done by the shift of ranks below it. `rank` in the
place of a number of projections is no screen: genes in the order of rank.
"""

import sys

# A script beside this one is called as a module of the standard library is.
sys.path.pop(0)

import argparse

import numpy as np
import pandas as pd

TOP = 20
KEPT = (20, 50, 100)
PROJECTIONS = {"mean": (1, 2, 4, 8), "first": (1, 2, 4, 8, 16, 32)}
NEAREST = 15


def all_effects(backbone, cells, pooling, states):
    """The measure of every deletion of a cell, larger where it does more."""
    import keras_geneformer as kg

    effects = kg.perturb(backbone, cells, pooling=pooling, states=states)
    if states is None:
        return 1.0 - effects["value"].to_numpy()
    shifts = effects[(effects["measure"] == "state_shift") & (effects["state"] == states["goal"])]
    return shifts["value"].to_numpy()


def beyond_rank(effects):
    """Effects less the mean of those of the nearest ranks."""
    table = pd.Series(effects)
    return (table - table.rolling(NEAREST, center=True, min_periods=1).mean()).to_numpy()


def compare(measure, pooling, projections, effects, scores, passes):
    """One row of the table for one cell."""
    from scipy.stats import spearmanr

    strongest, order = np.argsort(-effects)[:TOP], np.argsort(-scores)
    row = {"measure": measure, "pooling": pooling, "r": projections, "n": len(effects)}
    for kept in KEPT:
        row[f"top {kept}"] = np.isin(strongest, order[:kept]).mean()
    row["spearman"] = spearmanr(effects, scores).statistic
    row["passes"] = passes
    for kept in KEPT:
        row[f"x fewer {kept}"] = len(effects) / (passes + kept)
    return row


def rows_of_cell(backbone, cell, pooling, states):
    """Compare all screens with all deletions of one cell."""
    from keras_geneformer.analysis.perturbation.gradient_screen import GradientScreen

    ids, special = np.asarray(cell[0]), list(backbone.special_token_ids)
    settings = {"layer": -2, "pooling": pooling, "special": special}
    effects = all_effects(backbone, cell, pooling, states)
    rank = -np.arange(len(ids), dtype=float)
    measure = "itself" if states is None else "state"
    yield compare(measure, pooling, "rank", effects, rank, 0)
    if states is not None:
        goal = states["vectors"].loc[[states["goal"]]].to_numpy()
        screen = GradientScreen(backbone, states=goal, **settings)
        scores = screen.scores(ids)
        yield compare(measure, pooling, "-", effects, scores, screen.passes)
        sizes = np.abs(effects), np.abs(scores)
        yield compare("state, size", pooling, "-", *sizes, screen.passes)
        return
    for projections in PROJECTIONS[pooling]:
        screen = GradientScreen(backbone, projections=projections, **settings)
        scores = screen.scores(ids)
        yield compare(measure, pooling, projections, effects, scores, screen.passes)
        apart = beyond_rank(effects), beyond_rank(scores)
        yield compare("beyond rank", pooling, projections, *apart, screen.passes)


def main():
    import keras_geneformer as kg
    from keras_geneformer.models.backbone_of import backbone_of

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="preset or checkpoint")
    parser.add_argument("cells", help="tokenized cells (.dataset)")
    parser.add_argument("--state", help="column of obs of the states", default=None)
    parser.add_argument("--count", type=int, default=3, help="cells")
    parser.add_argument("--shortest", type=int, default=300, help="tokens of a cell, at least")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    backbone = backbone_of(arguments.model)
    cells = kg.CellDataset.load(arguments.cells)
    rng = np.random.default_rng(arguments.seed)
    long = np.asarray(cells.lengths) >= arguments.shortest
    plans = [("mean", None), ("first", None)]
    if arguments.state:
        start, goal = cells.obs[arguments.state].astype(str).value_counts().index[:2]
        states = {"obs_key": arguments.state, "start": start, "goal": goal}
        long &= (cells.obs[arguments.state].astype(str) == start).to_numpy()
        for pooling in ("mean", "first"):
            vectors = kg.embed_states(
                backbone, cells, arguments.state, states=[start, goal], pooling=pooling
            )
            plans.append((pooling, {**states, "vectors": vectors}))
    chosen = rng.choice(np.flatnonzero(long), arguments.count, replace=False)
    rows = [
        row
        for number in chosen
        for pooling, states in plans
        for row in rows_of_cell(backbone, cells.subset([int(number)]), pooling, states)
    ]
    table = pd.DataFrame(rows)
    keys = ["measure", "pooling", "r"]
    print(table.groupby(keys, sort=False).mean().round(3).to_string())


if __name__ == "__main__":
    main()
