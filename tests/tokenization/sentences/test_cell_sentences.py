import re

import anndata
import datasets
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis.strategies import data, floats, lists, sampled_from
from scipy.stats import spearmanr

from keras_geneformer.testing import tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.tokenization.sentences import cell_sentences as module
from keras_geneformer.tokenization.sentences.cell_sentences import (
    tokenize_sentence_files,
    tokenize_sentences,
)
from keras_geneformer.tokenization.sentences.sentence_export import cell_sentences
from keras_geneformer.tokenization.tokenizer import RankValueTokenizer

SENTENCES = ["GENE7 GENE3 nothing GENE9", "gene1", "", "GENE2 gene2 GENE5", "α β", None]
KNOWN = [[9, 5, 11], [3], [4, 7]]


def refused(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def tokens(cells):
    return [cell.tolist() for cell in cells]


def vocabulary_of(medians):
    names = [f"S{i}" for i in range(len(medians))]
    genes = [f"ENSG{i:011d}" for i in range(len(medians))]
    return GeneVocabulary(
        genes,
        range(2, 2 + len(medians)),
        medians,
        symbols=names,
        aliases=dict(zip(names, genes)) | {"OTHER0": genes[0]},
    )


def test_rank_order_keeps_the_order_of_the_words(caplog):
    cells = tokenize_sentences(SENTENCES, tiny_vocabulary(), mode="rank_order")
    assert tokens(cells) == KNOWN
    assert cells.obs.index.tolist() == ["0", "1", "3"]
    report = cells.report
    assert (report.cells, report.kept_cells, report.empty_cells, report.unknown_cells) == (
        *(6, 3, 2, 1),
    )
    assert (report.words, report.known_words, report.repeated_words) == (10, 7, 1)
    assert (report.distinct_words, report.distinct_known) == (10, 7)
    assert sorted(report.unknown_names) == ["nothing", "α", "β"]
    assert report.slope is None
    assert caplog.messages == ["3 of 6 cells were dropped, as they have no known word"]
    assert cells.vocabulary_checksum == tiny_vocabulary().checksum


def test_rank_value_by_hand():
    # Expression of ranks 1, 2, 4 with slope -1 and intercept 2: 99, 49, 24. Rank 3 is a word of
    # no gene, and has its place all the same.
    vocabulary = vocabulary_of([99 / 2, 49 / 5, 24 / 3])
    cells = tokenize_sentences(["S0 S1 nothing S2"], vocabulary, slope=-1.0, intercept=2.0)
    assert tokens(cells) == [[3, 4, 2]]  # rank values 2, 5, 3
    order = tokenize_sentences(["S0 S1 nothing S2"], vocabulary, mode="rank_order")
    assert tokens(order) == [[2, 3, 4]]


@given(data())
@settings(max_examples=60, deadline=None)
def test_random_sentences_agree_with_a_plain_reference(draw):
    medians = draw.draw(lists(floats(0.1, 50.0), min_size=4, max_size=8))
    vocabulary = vocabulary_of(medians)
    words = sampled_from([f"S{i}" for i in range(len(medians))] + ["other0", "x", "y"])
    sentences = draw.draw(lists(lists(words, max_size=12), min_size=1, max_size=5))
    sentences.append(["S0", "S1"])  # so that one cell is left
    slope, intercept = draw.draw(floats(-2.0, -0.1)), draw.draw(floats(0.5, 3.0))
    cells = tokenize_sentences(
        [" ".join(words) for words in sentences], vocabulary, slope=slope, intercept=intercept
    )
    expected = []
    for sentence in sentences:
        values = {}
        for rank, word in enumerate(sentence, start=1):
            gene = {"other0": 0, "x": None, "y": None}.get(word, word[1:])
            if gene is not None and int(gene) not in values:
                counts = max(10 ** (intercept + slope * np.log10(rank)) - 1, 0.5)
                values[int(gene)] = counts / 10_000 * 10_000 / medians[int(gene)]
        if values:
            expected.append([2 + gene for gene in sorted(values, key=lambda g: (-values[g], g))])
    assert tokens(cells) == expected


def test_beyond_the_minimum_medians_decide():
    vocabulary = vocabulary_of([1.0, 4.0, 2.0])
    cells = tokenize_sentences(["S1 S2 S0"], vocabulary, slope=-3.0, intercept=-1.0, minimum=0.5)
    assert tokens(cells) == [[2, 4, 3]]


def test_categories_and_missing_sentences():
    series = pd.Series(pd.Categorical(["GENE1", None, "GENE2 GENE1"]), index=list("abc"))
    cells = tokenize_sentences(series, tiny_vocabulary(), mode="rank_order")
    assert tokens(cells) == [[3], [4, 3]]
    assert cells.obs.index.tolist() == ["a", "c"]


def test_a_gene_under_two_names_counts_once():
    vocabulary = vocabulary_of([1.0, 1.0])
    cells = tokenize_sentences(["other0 S1 S0 ENSG00000000000.7"], vocabulary)
    assert tokens(cells) == [[2, 3]]
    assert cells.report.repeated_words == 2


def test_cls_eos_and_the_maximal_length():
    vocabulary = tiny_vocabulary(cls=True)
    words = " ".join(f"GENE{i}" for i in range(60, 0, -1))
    cells = tokenize_sentences([words, "GENE3"], vocabulary, mode="rank_order", max_length=10)
    assert cells[0].tolist() == [2, *range(64, 56, -1), 3]
    assert cells[1].tolist() == [2, 7, 3]
    assert cells.report.truncated_cells == 1
    with pytest.raises(ValueError, match=r"^max_length is 500; expected 3 to 128, the most that"):
        tokenize_sentences([words], vocabulary, max_length=500)


def test_report_and_obs_survive_the_disk(tmp_path):
    frame = pd.DataFrame({"cell_sentence": SENTENCES, "kind": list("abcdef")}, index=list("uvwxyz"))
    cells = tokenize_sentences(frame, tiny_vocabulary())
    assert cells.obs["kind"].tolist() == ["a", "b", "d"]
    assert cells.obs.index.tolist() == ["u", "v", "x"]
    cells.save(tmp_path / "x.dataset")
    again = CellDataset.load(tmp_path / "x.dataset")
    assert again.report == cells.report
    assert again.describe().known_count_share == 0.7


@pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz", "tsv", "dataset"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_files(tmp_path, suffix, in_memory, monkeypatch):
    monkeypatch.setattr(module, "_SENTENCES_AT_ONCE", 2)
    frame = pd.DataFrame(
        {"sentence": SENTENCES, "kind": ["細胞", None, "c", "d", "e", "f"], "n": range(6)}
    )
    path = tmp_path / f"x.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path)
    elif suffix == "dataset":
        datasets.Dataset.from_pandas(frame).save_to_disk(str(path))
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    cells = tokenize_sentence_files(
        path,
        tiny_vocabulary(),
        None if in_memory else tmp_path / "out.dataset",
        column="sentence",
        mode="rank_order",
    )
    assert tokens(cells) == KNOWN
    assert cells.obs.index.tolist() == ["0", "1", "3"]
    assert cells.obs["kind"].tolist() == ["細胞", None, "d"]
    assert cells.obs["n"].tolist() == [0, 1, 3]
    assert cells.report.name == str(path)
    assert cells.report.words == 10


def test_names_of_cells_in_files(tmp_path):
    frame = pd.DataFrame({"cell_sentence": ["GENE1", "GENE2"]}, index=["α", "b"])
    for name, write in (("i.csv", frame.to_csv), ("j.parquet", frame.to_parquet)):
        write(tmp_path / name)
        cells = tokenize_sentence_files(tmp_path / name, tiny_vocabulary())
        assert cells.obs.index.tolist() == ["α", "b"]
    frame.reset_index(names="cell_name").to_parquet(tmp_path / "k.parquet", index=False)
    cells = tokenize_sentence_files(tmp_path / "k.parquet", tiny_vocabulary())
    assert cells.obs.index.tolist() == ["α", "b"]
    assert cells.obs.columns.tolist() == []


def test_columns_called_as_ours(tmp_path):
    frame = pd.DataFrame(
        {
            "input_ids": pd.Categorical(["GENE1 GENE2", "GENE3"]),
            "length": [2, 1],
            "counts": ["many", "few"],
        }
    )
    frame.to_parquet(tmp_path / "x.parquet")
    for output in (None, tmp_path / "x.dataset"):
        cells = tokenize_sentence_files(
            tmp_path / "x.parquet", tiny_vocabulary(), output, column="input_ids"
        )
        assert cells.lengths.tolist() == [2, 1]
        assert cells.obs["length"].tolist() == [2, 1]
        assert cells.obs["counts"].tolist() == ["many", "few"]


def test_several_files_in_sorted_order(tmp_path):
    for name, words in (("b", "GENE2"), ("a", "GENE1")):
        pd.DataFrame({"cell_sentence": [words]}).to_parquet(tmp_path / f"{name}.parquet")
    cells = tokenize_sentence_files(tmp_path, tiny_vocabulary())
    assert tokens(cells) == [[3], [4]]
    assert cells.obs.index.tolist() == ["0", "1"]
    assert cells.report.name == f"{tmp_path / 'a.parquet'} and 1 more"


def test_real_cells_come_back(counts, dictionaries):
    vocabulary = GeneVocabulary.load(dictionaries / "V2")
    adata = anndata.read_h5ad(counts / "pbmc3k.h5ad")[::50].copy()
    truth = RankValueTokenizer(vocabulary)(adata)
    sentences = cell_sentences(adata)
    found = {
        mode: tokenize_sentences(sentences, vocabulary, mode=mode)
        for mode in ("rank_value", "rank_order")
    }
    assert found["rank_value"].report.known_share > 0.96
    agreement = {}
    for mode, cells in found.items():
        values = []
        for true, cell in zip(truth, cells):
            _, here, there = np.intersect1d(true[1:-1], cell[1:-1], return_indices=True)
            assert len(here) > 0.97 * len(true)
            values.append(spearmanr(here, there)[0])
        agreement[mode] = np.mean(values)
    # Measured: .86 and .07. The medians, which a sentence does not have, are what orders tokens.
    assert agreement["rank_value"] > 0.84
    assert agreement["rank_order"] < 0.2


def test_little_is_understood(tmp_path, caplog):
    vocabulary = tiny_vocabulary()
    words = "Gm1 Xkr4 Rp1 Sox17 Mrpl15 Lypla1 Tcea1 Rgs20 Atp6v1h Oprk1 " * 2
    message = (
        "2.4% of the 41 words of sentences are genes of the vocabulary 'tiny' (unknown are Gm1, "
        "Xkr4, Rp1); expected gene symbols or Ensembl ids separated by blanks. Is it the right "
        "column, and the species of the vocabulary?"
    )
    with refused(message):
        tokenize_sentences(["GENE1 " + words * 2], vocabulary)
    frame = pd.DataFrame({"cell_sentence": ["GENE1 " + words * 2]})
    frame.to_parquet(tmp_path / "x.parquet")
    with refused(message.replace("sentences are", f"{tmp_path / 'x.parquet'} are")):
        tokenize_sentence_files(tmp_path / "x.parquet", vocabulary, tmp_path / "x.dataset")
    assert not (tmp_path / "x.dataset").exists()
    with pytest.raises(ValueError, match=r"^0\.0% of the 0 words of sentences are genes of the"):
        tokenize_sentences([""], vocabulary)
    tokenize_sentences(["GENE1 a b"], vocabulary)
    assert caplog.messages == [
        "only 33.3% of the 3 words of sentences are genes of the vocabulary 'tiny' (unknown are "
        "a, b)"
    ]


def test_what_is_no_sentence(tmp_path):
    vocabulary = tiny_vocabulary()
    with refused(
        "the DataFrame has no column 'cell_sentence' with cell sentences; it has text. Give column="
    ):
        tokenize_sentences(pd.DataFrame({"text": ["a"]}), vocabulary)
    with refused("a sentence is a int (3); expected a string, gene names separated by blanks"):
        tokenize_sentences(["GENE1", 3], vocabulary)
    with refused(
        "got a str; expected a DataFrame or a sequence of sentences (for files: "
        "tokenize_sentence_files)"
    ):
        tokenize_sentences("GENE1 GENE2", vocabulary)
    with refused('mode is \'rank\'; expected "rank_value" or "rank_order"'):
        tokenize_sentences(["GENE1"], vocabulary, mode="rank")
    pd.DataFrame({"cell_sentence": [1]}).to_parquet(tmp_path / "x.parquet")
    with refused(
        f"{tmp_path / 'x.parquet'}: the column 'cell_sentence' is int64; expected strings, gene "
        "names separated by blanks"
    ):
        tokenize_sentence_files(tmp_path / "x.parquet", vocabulary)
    (tmp_path / "x.csv").write_text("")
    with pytest.raises(ValueError, match=r"x\.csv cannot be read: .*It is damaged, truncated or"):
        tokenize_sentence_files(tmp_path / "x.csv", vocabulary)
    (tmp_path / "y.csv").write_text("cell_sentence,n\nGENE1,1\nGENE2\n")
    with pytest.raises(ValueError, match=r"y\.csv .*Expected 2 columns, got 1"):
        tokenize_sentence_files(tmp_path / "y.csv", vocabulary)
    with refused(
        "a sentence is a list (['GENE1']); expected a string, gene names separated by blanks"
    ):
        tokenize_sentences([["GENE1"]], vocabulary)
    with refused(
        "the DataFrame has several columns 'cell_sentence'; expected one. Rename the others"
    ):
        twice = pd.DataFrame([["GENE1", "GENE2"]], columns=["cell_sentence"] * 2)
        tokenize_sentences(twice, vocabulary)
