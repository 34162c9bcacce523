import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from keras_geneformer.evaluation.castle_features import (
    binned,
    castle_genes,
    expression_levels,
    mutual_information,
)
from keras_geneformer.evaluation.count_features import aligned_counts, components, log_normalised
from keras_geneformer.testing import synthetic_cells


@pytest.fixture(scope="module")
def adata():
    return synthetic_cells(60)


def test_counts_come_in_the_order_of_the_cells_and_with_their_totals(adata):
    rows = [7, 3, 40]
    adata.obs["n_counts"] *= 2
    found = aligned_counts(adata, adata.obs_names[rows])
    np.testing.assert_array_equal(found.counts.toarray(), adata.X[rows].toarray())
    np.testing.assert_array_equal(found.totals, adata.obs["n_counts"].to_numpy()[rows])
    summed = aligned_counts(adata, adata.obs_names[rows], n_counts_key=None)
    adata.obs["n_counts"] /= 2
    np.testing.assert_allclose(summed.totals, adata.obs["n_counts"].to_numpy()[rows])


def test_a_file_gives_the_same(adata, tmp_path):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    names = adata.obs_names[::-1]
    one, other = aligned_counts(adata, names), aligned_counts(tmp_path / "cells.h5ad", names)
    assert one.checksum() == other.checksum()
    assert one.checksum() != aligned_counts(adata, adata.obs_names).checksum()


def test_names_that_do_not_join_are_refused(adata):
    message = (
        r"adata has no counts of 1 of 2 cells, first 'other'; its own are called 'cell0', 'cell1', "
        r"'cell2'\. Give the counts that the cells were tokenized from\."
    )
    with pytest.raises(ValueError, match=message):
        aligned_counts(adata, ["cell1", "other"])
    with pytest.raises(ValueError, match="The cells: 1 names stand for more than one cell, first"):
        aligned_counts(adata, ["cell1", "cell1"])
    doubled = adata.copy()
    doubled.obs_names = ["same"] * 2 + list(adata.obs_names[2:])
    with pytest.raises(ValueError, match="adata: 1 names stand for more than one cell, first 's"):
        aligned_counts(doubled, ["cell5"])
    logged = adata.copy()
    logged.X = log_normalised(adata.X, adata.obs["n_counts"].to_numpy())
    with pytest.raises(ValueError, match="looks log-normalised or otherwise transformed"):
        aligned_counts(logged, ["cell5"])


def test_components_are_of_the_training_cells_alone(adata):
    features = log_normalised(adata.X, adata.obs["n_counts"].to_numpy())
    training, test = np.arange(40), np.arange(40, 60)
    changed = features.copy().tolil()
    changed[40:] = 1000.0
    one, other = components(features, training, test), components(changed.tocsr(), training, test)
    np.testing.assert_allclose(one[0], other[0])
    assert one[0].shape == (40, 39)


def test_mutual_information_is_scikit_learns(adata):
    levels = expression_levels(adata.X, adata.obs["n_counts"].to_numpy())
    labels = adata.obs["cell_type"].to_numpy(dtype=str)
    ours = mutual_information(levels, labels)
    bins = np.digitize(levels.toarray(), (0, 1, 6), right=True)
    theirs = [mutual_info_score(labels, bins[:, gene]) for gene in range(levels.shape[1])]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_castle_takes_telling_genes_and_no_twin(adata):
    levels = expression_levels(adata.X, adata.obs["n_counts"].to_numpy()).tolil()
    levels[:, 119] = levels[:, 0] * 2
    levels[:, 60] = 0
    levels = levels.tocsr()
    levels.eliminate_zeros()
    labels = adata.obs["cell_type"].to_numpy(dtype=str)
    genes = castle_genes(levels, labels)
    assert len({0, 119} & set(genes.tolist())) == 1
    assert 60 not in genes
    assert len(genes) == len(set(genes.tolist()))
    assert genes[0] == np.argmax(mutual_information(levels, labels))
    assert binned(levels, genes).shape == (60, 3 * len(genes))
