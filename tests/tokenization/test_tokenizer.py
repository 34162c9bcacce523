import logging
import re

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from keras_geneformer import CellDataset, GeneVocabulary, RankValueTokenizer
from keras_geneformer.cli import main
from keras_geneformer.testing import synthetic_cells, tiny_vocabulary

VOCABULARY = GeneVocabulary(["A", "B", "C", "D"], [2, 3, 4, 5], [1.0, 2.0, 4.0, 1.0], max_length=4)


def cells_of(counts, genes=("A", "B", "C", "D"), **obs):
    names = [f"cell{i}" for i in range(len(counts))]
    return anndata.AnnData(
        sp.csr_matrix(np.array(counts, dtype=np.float32)),
        obs=pd.DataFrame(obs, index=names),
        var=pd.DataFrame({"ensembl_id": genes}, index=[f"v{i}" for i in range(len(genes))]),
    )


def ids(cells):
    return [cell.tolist() for cell in cells]


def test_rank_value_by_hand():
    # Values: 3/1, 8/2, 4/4, 1/1, times 10,000 over the cell's total.
    adata = cells_of([[3, 8, 4, 1], [0, 2, 4, 0]])
    assert ids(RankValueTokenizer(VOCABULARY)(adata)) == [[3, 2, 4, 5], [3, 4]]


def test_ties_go_by_token_and_columns_do_not_matter():
    adata = cells_of([[1, 2, 4, 1]])
    tokenizer = RankValueTokenizer(VOCABULARY)
    assert ids(tokenizer(adata)) == [[2, 3, 4, 5]]
    assert ids(tokenizer(adata[:, [3, 1, 0, 2]].copy())) == [[2, 3, 4, 5]]


def test_explicit_zeros_and_repeated_entries():
    entries = ([1.0, 0.0, 2.0, 2.0], ([0, 0, 0, 0], [3, 0, 1, 1]))
    coo = sp.coo_matrix(entries, shape=(1, 4))
    columns = coo.col.astype(np.int32)
    csr = sp.csr_matrix((coo.data, columns, np.array([0, 4], dtype=np.int32)), shape=(1, 4))
    adata = cells_of([[0, 0, 0, 0]])
    adata.X = csr
    assert not csr.has_canonical_format
    cells = RankValueTokenizer(VOCABULARY)(adata)
    assert ids(cells) == [[3, 5]]
    assert csr.nnz == 4


def test_columns_of_one_gene_are_summed():
    adata = cells_of([[3, 2, 2, 0], [0, 3, 0, 1]], genes=("A", "B", "b", "D"))
    # A has 3, B has (2 + 2) / 2 in the first cell.
    cells = RankValueTokenizer(VOCABULARY)(adata)
    assert ids(cells) == [[2, 3], [3, 5]]
    assert cells.report.sources[0].summed_genes == 1


def test_maximal_length_and_special_tokens():
    special = {"<pad>": 0, "<mask>": 1, "<cls>": 6, "<eos>": 7}
    vocabulary = GeneVocabulary(
        VOCABULARY.genes,
        VOCABULARY.tokens,
        VOCABULARY.medians,
        special_tokens=special,
        max_length=5,
    )
    adata = cells_of([[3, 8, 4, 1], [0, 2, 0, 0]])
    cells = RankValueTokenizer(vocabulary)(adata)
    assert ids(cells) == [[6, 3, 2, 4, 7], [6, 3, 7]]
    assert cells.report.sources[0].truncated_cells == 1
    assert ids(RankValueTokenizer(vocabulary, max_length=3)(adata)) == [[6, 3, 7], [6, 3, 7]]
    assert ids(RankValueTokenizer(VOCABULARY, max_length=2)(adata)) == [[3, 2], [3]]
    for length in (2, 6):
        with pytest.raises(ValueError, match=f"max_length is {length}; expected 3 to 5, the most"):
            RankValueTokenizer(vocabulary, max_length=length)


def test_dataset_carries_obs_and_vocabulary():
    adata = synthetic_cells(7)
    adata.obs["cell_type"] = adata.obs["cell_type"].astype("category")
    vocabulary = tiny_vocabulary()
    cells = RankValueTokenizer(vocabulary)(adata)
    pd.testing.assert_frame_equal(cells.obs, adata.obs)
    assert cells.vocabulary_checksum == vocabulary.checksum
    assert cells.vocabulary_size == vocabulary.size


def test_cells_with_nothing_to_rank_are_dropped_counted_and_named(caplog):
    counts = [[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 5], [0, 0, 0, 0]]
    adata = cells_of(counts, genes=("A", "B", "C", "unknown"), n_counts=[0, 1, 5, np.nan])
    cells = RankValueTokenizer(VOCABULARY)(adata)
    assert cells.obs.index.tolist() == ["cell1"]
    report = cells.report
    assert (report.cells, report.kept_cells, report.dropped_cells) == (4, 1, 3)
    assert (report.zero_cells, report.unknown_cells) == (2, 1)
    assert report.sources[0].dropped_names == ("cell0", "cell2", "cell3")
    assert caplog.messages[0] == (
        "adata: dropped 2 cells without counts and 1 without a known gene (cell0, cell2, cell3)"
    )
    assert report.summary() == (
        "adata: 1 of 4 cells tokenized; 3 of 4 genes known with 16.7% of counts; 2 cells without "
        "counts dropped; 1 cells without a known gene dropped"
    )


def test_no_cells():
    tokenizer = RankValueTokenizer(VOCABULARY)
    with pytest.raises(ValueError, match=r"^adata has no cells$"):
        tokenizer(cells_of([[1, 1, 1, 1]])[:0].copy())
    with pytest.raises(
        ValueError, match=r"^no cell is left to tokenize. adata: 0 of 2 cells token"
    ):
        tokenizer(cells_of([[0, 0, 0, 0], [0, 0, 0, 0]]))
    with pytest.raises(ValueError, match=r"^adata has no genes$"):
        tokenizer(cells_of([[1, 1, 1, 1]])[:, :0].copy())


def test_filter_pass():
    tokenizer = RankValueTokenizer(VOCABULARY)
    counts = [[1, 0, 0, 0], [0, 1, 0, 0], [-1, 0, 0, 0]]
    for passed in ([0, 1, 0], [False, True, False], [2.0, 1.0, np.nan], [None, True, "1"]):
        cells = tokenizer(cells_of(counts, filter_pass=passed))
        assert (ids(cells), cells.obs.index.tolist()) == ([[3]], ["cell1"])
        assert cells.report.filtered_cells == 2
    with pytest.raises(
        ValueError, match=r"^adata: no cell has filter_pass 1 in obs \(it holds 'yes'"
    ):
        tokenizer(cells_of(counts, filter_pass=["yes"] * 3))


def test_where_total_counts_come_from(caplog):
    counts = [[1, 2, 0, 0], [0, 1, 3, 0]]
    tokenizer = RankValueTokenizer(VOCABULARY)

    def key(adata, **options):
        return tokenizer(adata, **options).report.sources[0].n_counts_key

    with caplog.at_level(logging.INFO):
        assert key(cells_of(counts, total_counts=[9, 9])) == "total_counts"
        assert "adata: total counts are taken from obs['total_counts']" in caplog.messages
        assert key(cells_of(counts)) is None
        assert "adata has no total counts in obs: summed over its genes" in caplog.messages
    assert key(cells_of(counts, n_counts=[9, 9], total_counts=[9, 9])) == "n_counts"
    assert key(cells_of(counts, n_counts=[9, 9]), n_counts_key=None) is None
    assert key(cells_of(counts, umis=[9, 9]), n_counts_key="umis") == "umis"
    with pytest.raises(ValueError, match=r"^adata has no obs column 'umis'; it has n_counts "):
        key(cells_of(counts, n_counts=[9, 9]), n_counts_key="umis")
    with pytest.raises(ValueError, match=r"^adata: obs\['n_counts'\] holds no numbers: "):
        key(cells_of(counts, n_counts=["many", "few"]))


@pytest.mark.parametrize("value", [0.0, -3.0, np.nan, np.inf])
def test_total_counts_that_are_none(value):
    adata = cells_of([[1, 2, 0, 0], [0, 1, 3, 0]], n_counts=[9, value])
    message = (
        f"adata: obs['n_counts'] must be above zero, and is not in cells that have counts: 'cell1' "
        f"({value}). Correct it, or pass n_counts_key=None to sum the counts"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RankValueTokenizer(VOCABULARY)(adata)
    assert len(RankValueTokenizer(VOCABULARY)(adata, n_counts_key=None)) == 2


def test_several_files(tmp_path):
    first, second = synthetic_cells(20, seed=1), synthetic_cells(300, seed=2)
    first.obs["cell_type"] = pd.Categorical(first.obs["cell_type"])
    second.obs["cell_type"] = pd.Categorical(second.obs["cell_type"].replace("B cell", "NK cell"))
    second.obs["age"] = np.arange(300)
    second.X[5] = 0
    second.obs.loc["cell5", "n_counts"] = 0
    first.write_h5ad(tmp_path / "a.h5ad")
    second.write_h5ad(tmp_path / "b.h5ad")
    tokenizer = RankValueTokenizer(tiny_vocabulary(cls=True))
    files = [tmp_path / "b.h5ad", tmp_path / "a.h5ad"]
    cells = tokenizer.tokenize_files(files, tmp_path / "x.dataset")
    parts = [tokenizer(first), tokenizer(second)]
    assert ids(cells) == ids(parts[0]) + ids(parts[1])
    assert cells.obs.index.tolist() == [*parts[0].obs.index, *parts[1].obs.index]
    assert cells.obs["cell_type"].cat.categories.tolist() == [
        "B cell",
        "T cell",
        "monocyte",
        "NK cell",
    ]
    assert cells.obs["source_file"].astype(str).unique().tolist() == sorted(map(str, files))
    assert cells.obs["age"].isna().sum() == 20
    assert [source.kept_cells for source in cells.report.sources] == [20, 299]
    assert cells.report == CellDataset.load(tmp_path / "x.dataset").report
    memory = tokenizer.tokenize_files(tmp_path)
    np.testing.assert_array_equal(memory.token_ids, cells.token_ids)
    pd.testing.assert_frame_equal(memory.obs, cells.obs)


def test_chosen_obs_columns(tmp_path):
    synthetic_cells(5).write_h5ad(tmp_path / "a.h5ad")
    tokenizer = RankValueTokenizer(tiny_vocabulary())
    cells = tokenizer.tokenize_files(tmp_path / "a.h5ad", obs_columns=["donor"])
    assert cells.obs.columns.tolist() == ["donor"]
    with pytest.raises(
        ValueError, match=r"^obs has no column 'age' in any file; it has cell_type, "
    ):
        tokenizer.tokenize_files(tmp_path / "a.h5ad", obs_columns=["age"])


def test_a_bad_file_among_others_leaves_the_earlier_output(tmp_path):
    output = tmp_path / "x.dataset"
    CellDataset([[5]]).save(output)
    for name in ("a", "b", "c"):
        synthetic_cells(5).write_h5ad(tmp_path / f"{name}.h5ad")
    (tmp_path / "b.h5ad").write_bytes(b"")
    tokenizer = RankValueTokenizer(tiny_vocabulary())
    with pytest.raises(
        ValueError, match=r"^\S*b\.h5ad is empty \(0 bytes\); expected a file of counts "
    ):
        tokenizer.tokenize_files(tmp_path, output)
    adata = synthetic_cells(5)
    adata.X[0, 0] = -1
    adata.write_h5ad(tmp_path / "b.h5ad")
    with pytest.raises(ValueError, match=r"b\.h5ad has negative values: -1\.0 in cell 'cell0'"):
        tokenizer.tokenize_files(tmp_path, output)
    assert ids(CellDataset.load(output)) == [[5]]


def test_an_output_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    synthetic_cells(3).write_h5ad(tmp_path / "a.h5ad")
    RankValueTokenizer(tiny_vocabulary()).tokenize_files("~/a.h5ad", "~/x.dataset")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5ad", "x.dataset"]


def test_an_output_that_is_something_else_is_refused_before_the_bar_opens(tmp_path, capfd):
    tiny_vocabulary().save(tmp_path / "vocabulary")
    synthetic_cells(5).write_h5ad(tmp_path / "x.h5ad")
    output = tmp_path / "mine"
    output.mkdir()
    (output / "notes.txt").write_text("kept")
    arguments = ["--vocabulary", str(tmp_path / "vocabulary"), "--output", str(output)]
    assert main(["tokenize", str(tmp_path / "x.h5ad"), *arguments]) == 2
    assert capfd.readouterr().err.startswith(f"error: {output} exists and holds something else")
    assert [path.name for path in output.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("verb", ["tokenize", "fit-vocabulary"])
def test_counts_options_of_the_command(tmp_path, capfd, verb):
    adata = synthetic_cells(30)
    adata.X.data = np.log1p(adata.X.data)
    adata.obs["n_counts"] = -1.0
    adata.write_h5ad(tmp_path / "x.h5ad")
    tiny_vocabulary().save(tmp_path / "vocabulary")
    arguments = [verb, str(tmp_path / "x.h5ad"), "--output", str(tmp_path / "out")]
    if verb == "tokenize":
        arguments += ["--vocabulary", str(tmp_path / "vocabulary")]
    assert main([*arguments, "--n-counts-key", "sum"]) == 2
    assert "looks log-normalised" in capfd.readouterr().err
    assert main([*arguments, "--no-check-counts"]) == 2
    assert "n_counts" in capfd.readouterr().err
    assert main([*arguments, "--no-check-counts", "--n-counts-key", "sum"]) == 0
    assert (tmp_path / "out").is_dir()


def test_tokenizer_of_a_preset(tmp_path):
    vocabulary = tiny_vocabulary()
    vocabulary.save(tmp_path / "vocabulary")
    tokenizer = RankValueTokenizer.from_preset(tmp_path, max_length=9)
    assert tokenizer.vocabulary.checksum == vocabulary.checksum
    assert tokenizer.max_length == 9
