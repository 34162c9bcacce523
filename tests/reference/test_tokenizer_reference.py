"""Token ids against the published package's, on inputs cleaned as the reference README says."""

import functools
import hashlib
import json

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from keras_geneformer import GeneVocabulary, RankValueTokenizer

FILES = ("pbmc3k", "pbmc_kang_ifnb_1000", "pancreas_4tech")
CLOSE = 1e-6


@functools.cache
def vocabulary_of(dictionaries, version):
    return GeneVocabulary.load(dictionaries / version)


@functools.cache
def cleaned(counts, name):
    """Genes without an id dropped, then later duplicates of one."""
    adata = anndata.read_h5ad(counts / f"{name}.h5ad")
    ids = adata.var["ensembl_id"].astype(object).fillna("")
    return adata[:, ((ids != "") & ~ids.duplicated()).to_numpy()].copy()


def expected(reference, name):
    return pd.read_parquet(reference / "tokenizer" / f"{name}.parquet")


def check(cells, table, adata, vocabulary):
    """The tie rule: equal but for neighbours whose values differ by less than 1e-6."""
    assert cells.obs.index.tolist() == table["cell"].tolist()
    values = table_of_values(adata, vocabulary)
    rows = adata.obs_names.get_indexer(table["cell"])
    specials = sorted(vocabulary.special_tokens.values())
    for i, theirs in enumerate(table["input_ids"]):
        ours = cells[i]
        assert len(ours) == len(theirs) == table["length"][i] == cells.lengths[i]
        if np.array_equal(ours, theirs):
            continue
        if vocabulary.cls_token_id is not None:
            assert (ours[0], ours[-1]) == (theirs[0], theirs[-1]) == tuple(specials[2:4])
            ours, theirs = ours[1:-1], theirs[1:-1]
        assert len(set(theirs)) == len(theirs)
        value = values[rows[i]].toarray().ravel()
        # Position by position both orders hold the same value, up to the rule's tolerance; a
        # different token at the cut-off is so covered too.
        np.testing.assert_allclose(value[theirs], value[ours], rtol=CLOSE, atol=0)
        assert (np.diff(value[ours]) <= 0).all()


def table_of_values(adata, vocabulary):
    """Rank value of every cell and token, straight from the definition."""
    tokens = vocabulary.tokens_of(adata.var["ensembl_id"].astype(object))
    known = np.flatnonzero(tokens >= 0)
    medians = np.zeros(vocabulary.size)
    medians[vocabulary.tokens] = vocabulary.medians
    place = sp.csr_matrix(
        (np.ones(len(known)), (known, tokens[known])), shape=(adata.n_vars, vocabulary.size)
    )
    counts = (adata.X.astype(np.float64) @ place).tocsr()
    counts.data /= np.repeat(adata.obs["n_counts"].to_numpy(np.float64), np.diff(counts.indptr))
    counts.data *= 10_000
    counts.data /= medians[counts.indices]
    return counts


@pytest.mark.parametrize("version", ["V1", "V2"])
@pytest.mark.parametrize("name", FILES)
def test_every_cell(counts, reference, dictionaries, name, version):
    adata = cleaned(counts, name)
    runs = json.loads((reference / "tokenizer" / "runs.json").read_text())
    ids = "\n".join(adata.var["ensembl_id"].astype(str))
    stated = runs[name]["input"]["ensembl_id_list_sha256"]
    assert hashlib.sha256(ids.encode()).hexdigest() == stated

    vocabulary = vocabulary_of(dictionaries, version)
    cells = RankValueTokenizer(vocabulary)(adata)
    table = expected(reference, f"{name}.{version}")
    check(cells, table, adata, vocabulary)
    run = next(run for run in runs[name]["runs"] if run["file"] == f"{name}.{version}.parquet")
    same = sum(np.array_equal(ours, theirs) for ours, theirs in zip(cells, table["input_ids"]))
    assert same == run["cells_identical_to_sort_by_value_then_token"]
    if "cell_type" in table:
        # The original keeps a missing type as text.
        types = cells.obs["cell_type"].astype(object).fillna("nan").astype(str)
        assert types.tolist() == table["cell_type"].tolist()


def test_files_give_the_same(counts, dictionaries, tmp_path):
    adata = cleaned(counts, "pbmc_kang_ifnb_1000")
    adata.write_h5ad(tmp_path / "kang.h5ad")
    tokenizer = RankValueTokenizer(vocabulary_of(dictionaries, "V2"))
    cells = tokenizer.tokenize_files(tmp_path / "kang.h5ad", tmp_path / "kang.dataset")
    memory = tokenizer(adata)
    np.testing.assert_array_equal(cells.token_ids, memory.token_ids)
    pd.testing.assert_frame_equal(cells.obs, memory.obs)


def test_filter_pass(counts, reference, dictionaries):
    adata = cleaned(counts, "pbmc_kang_ifnb_1000").copy()
    adata.obs["filter_pass"] = (np.arange(adata.n_obs) % 2 == 0).astype(int)
    for version in ("V1", "V2"):
        vocabulary = vocabulary_of(dictionaries, version)
        cells = RankValueTokenizer(vocabulary)(adata)
        assert len(cells) == 500
        if version == "V2":
            table = expected(reference, "pbmc_kang_ifnb_1000.V2.filter_pass_even")
        else:
            table = expected(reference, "pbmc_kang_ifnb_1000.V1")[::2].reset_index(drop=True)
        check(cells, table, adata, vocabulary)


def test_symbols_as_ids(counts, reference, dictionaries):
    adata = anndata.read_h5ad(counts / "pbmc_kang_ifnb_1000.h5ad")
    adata.var["ensembl_id"] = adata.var["symbol"].astype(object)
    vocabulary = vocabulary_of(dictionaries, "V2")
    table = expected(reference, "pbmc_kang_ifnb_1000.V2.symbols_as_ids")
    check(RankValueTokenizer(vocabulary)(adata), table, adata, vocabulary)
    # Without any column of ids, var_names (here symbols) are looked up.
    adata.var = adata.var[[]]
    cells = RankValueTokenizer(vocabulary)(adata)
    assert cells.report.sources[0].gene_key == "var_names"
    adata.var["ensembl_id"] = adata.var_names
    check(cells, table, adata, vocabulary)


def test_split_ids_are_summed(counts, reference, dictionaries):
    adata = cleaned(counts, "pbmc_kang_ifnb_1000")
    var = pd.read_parquet(reference / "tokenizer" / "pbmc_kang_ifnb_1000.split_ids.var.parquet")
    source = pd.Index(adata.var["ensembl_id"].astype(str)).get_indexer(var["source_ensembl_id"])
    whole = adata.X.tocsc()[:, source].toarray()
    parts = {"c": whole, "c//2": whole // 2, "c - c//2": whole - whole // 2}
    chosen = np.select([var["part"] == part for part in parts], list(parts.values()), np.nan)
    names = [f"column{i}" for i in range(len(var))]
    split = anndata.AnnData(
        sp.csr_matrix(chosen),
        obs=adata.obs,
        var=pd.DataFrame({"ensembl_id": var["ensembl_id"].to_numpy()}, index=names),
    )
    vocabulary = vocabulary_of(dictionaries, "V2")
    cells = RankValueTokenizer(vocabulary)(split)
    check(cells, expected(reference, "pbmc_kang_ifnb_1000.V2"), adata, vocabulary)
    assert cells.report.sources[0].summed_genes >= 2800
