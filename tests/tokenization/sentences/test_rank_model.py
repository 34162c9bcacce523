import re

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import spearmanr

from keras_geneformer.testing import synthetic_cells, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.cells.token_lists import TokenLists
from keras_geneformer.tokenization.sentences.rank_model import (
    RankModel,
    fit_rank_model,
    ranked,
    round_trip_correlation,
)
from keras_geneformer.tokenization.tokenizer import RankValueTokenizer


def cells(*rows, **columns):
    obs = pd.DataFrame(columns, index=[f"c{i}" for i in range(len(rows))])
    return anndata.AnnData(sp.csr_matrix(np.array(rows, dtype=np.float32)), obs=obs)


def test_expression_by_the_published_formula():
    model = RankModel(slope=-0.5, intercept=2.0, minimum=0.25)
    # 10 ** (2 - 0.5 * log10(rank)) - 1
    expected = [99.0, 100 / np.sqrt(2) - 1, 9.0, 0.25]
    np.testing.assert_allclose(model.expression(np.array([1, 2, 100, 10_000])), expected)


def test_cells_on_a_line_give_back_the_line():
    ranks = np.arange(1, 201)
    values = 10 ** (2.5 - 0.7 * np.log10(ranks)) - 1
    # Ten thousand counts, so that these are counts per 10,000 already.
    rows = [np.random.default_rng(seed).permutation(values) for seed in range(3)]
    found = fit_rank_model(cells(*rows, n_counts=[10_000] * 3))
    assert found.slope == pytest.approx(-0.7, abs=1e-6)
    assert found.intercept == pytest.approx(2.5, abs=1e-6)
    assert found.r_squared == pytest.approx(1.0)
    assert (found.cells, found.genes) == (3, 600)
    assert found.minimum == pytest.approx(values.min(), rel=1e-6)


def test_least_squares_agree_with_numpy_and_leave_out_late_ranks():
    adata = synthetic_cells(7)
    found = fit_rank_model(adata, max_rank=20)
    x, y = [], []
    for row, total in zip(adata.X.toarray().astype(float), adata.obs["n_counts"]):
        values = np.sort(row[row > 0])[::-1][:20] / total * 10_000
        x += np.log10(np.arange(1, len(values) + 1)).tolist()
        y += np.log10(1 + values).tolist()
    slope, intercept = np.polyfit(x, y, 1)
    assert found.slope == pytest.approx(slope)
    assert found.intercept == pytest.approx(intercept)
    assert found.r_squared == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)


def test_round_trip_of_a_toy_cell_by_hand():
    # Ranks of 5, 3, 3, 1 are 4, 2.5, 2.5, 1 and come back as 4, 3, 2, 1: the covariance is 4.5,
    # the variances are 4.5 and 5.
    trip = round_trip_correlation(cells([5, 3, 3, 1]), RankModel())
    assert trip.mean == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    # A sentence of two genes: 4, 3, 1.5, 1.5 against 4, 2.5, 2.5, 1.
    short = round_trip_correlation(cells([5, 3, 3, 1]), RankModel(), genes=2)
    assert short.mean == pytest.approx(spearmanr([5, 3, 3, 1], [4, 3, 0, 0])[0])
    # Zeros do not count, all different counts come back, equal counts have no correlation.
    trip = round_trip_correlation(cells([0, 2, 9, 4], [2, 2, 0, 0], [0, 0, 0, 0]), RankModel())
    assert trip.correlations.tolist()[:1] == [pytest.approx(1.0)]
    assert trip.correlations.isna().tolist() == [False, True, True]
    assert trip.correlations.index.tolist() == ["c0", "c1", "c2"]


def test_round_trip_of_real_cells(counts):
    pbmc = anndata.read_h5ad(counts / "pbmc3k.h5ad")[::10].copy()
    trip = round_trip_correlation(pbmc)
    # Measured: .805 mean, .802 median; ties of single counts are what is lost.
    assert 0.79 < trip.mean < 0.82
    assert 0.79 < trip.median < 0.82
    assert 0.81 < trip.pooled < 0.86
    assert trip.model.r_squared > 0.87
    assert -0.8 < trip.model.slope < -0.7
    assert str(trip).startswith("Spearman correlation of 270 cells: mean 0.8")
    few = round_trip_correlation(pbmc, genes=100)
    assert few.mean < trip.mean


def test_default_model_is_that_of_pbmc3k(counts):
    fitted = fit_rank_model(counts / "pbmc3k.h5ad")
    assert RankModel().slope == round(fitted.slope, 3)
    assert RankModel().intercept == round(fitted.intercept, 3)
    assert RankModel().minimum < fitted.minimum


def test_a_dataset_with_counts_gives_the_same_line():
    adata = synthetic_cells(9)
    tokenizer = RankValueTokenizer(tiny_vocabulary(cls=True))
    cells = tokenizer(adata)
    positions = {token: i for i, token in enumerate(tiny_vocabulary(cls=True).tokens.tolist())}
    counts = [
        [row[positions[t]] / total * 10_000 if t in positions else 0.0 for t in cell.tolist()]
        for row, total, cell in zip(adata.X.toarray(), adata.obs["n_counts"], cells)
    ]
    kept = TokenLists([(np.concatenate(counts).astype(np.float32), cells.offsets)])
    cells = CellDataset.from_token_lists(cells.token_lists, cells.obs, cells.metadata, kept)
    one, other = fit_rank_model(adata), fit_rank_model(cells)
    assert other.slope == pytest.approx(one.slope, rel=1e-5)
    assert (other.cells, other.genes) == (one.cells, one.genes)
    np.testing.assert_allclose(
        round_trip_correlation(cells, one).correlations, round_trip_correlation(adata).correlations
    )
    message = (
        "the dataset has token ids and no counts: tokenize with keep_counts=True, or give an "
        "AnnData or a file of counts"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fit_rank_model(tokenizer(adata))


def test_ties_keep_the_order_of_the_columns():
    order, ranks = ranked(np.array([1.0, 2.0, 2.0, 7.0, 9.0]), np.array([0, 3, 3, 5]))
    assert order.tolist() == [1, 2, 0, 4, 3]
    assert ranks.tolist() == [3, 1, 2, 2, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"slope": 0.5},
            "slope is 0.5 and intercept 2.762; expected numbers, the slope below zero, as "
            "expression falls with the rank",
        ),
        (
            {"intercept": np.nan},
            "slope is -0.749 and intercept nan; expected numbers, the slope below zero, as "
            "expression falls with the rank",
        ),
        ({"minimum": 0.0}, "minimum is 0.0; expected counts per 10,000 above zero"),
    ],
)
def test_lines_that_are_none(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RankModel(**options)


def test_cells_that_give_no_line():
    message = (
        "no line can be fitted to 4 detected genes of 2 cells: expression does not fall with the "
        "rank. Give counts of several genes a cell"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fit_rank_model(cells([2, 2], [3, 3]))


def refused(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}")


@pytest.mark.parametrize("function", [fit_rank_model, round_trip_correlation])
def test_what_is_no_counts(function):
    adata = synthetic_cells(30)
    logs = adata.copy()
    logs.X = logs.X.astype(np.float64).log1p()
    with refused("adata looks log-normalised or otherwise transformed: "):
        function(logs)
    function(logs, check_counts=False)
    wrong = adata.copy()
    wrong.X = wrong.X.astype(np.float64)
    wrong.X.data[0] = np.nan
    with refused(f"adata has values that are no numbers: nan in cell {adata.obs_names[0]!r}"):
        function(wrong)
    empty = adata.copy()
    empty.obs["n_counts"] = 0
    with refused("adata: obs['n_counts'] must be above zero, and is not in cells that have counts"):
        function(empty)
