import pickle
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from keras_geneformer.testing import tiny_vocabulary
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary


def published(dictionaries, name):
    return GeneVocabulary.load(dictionaries / name)


@pytest.mark.parametrize(
    ("name", "genes", "size", "length", "special", "table"),
    [
        ("V1", 25_424, 25_426, 2048, {"<pad>": 0, "<mask>": 1}, "gc30m"),
        ("V2", 20_271, 20_275, 4096, {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3}, "gc104m"),
    ],
)
def test_published_pickles(shared, dictionaries, name, genes, size, length, special, table):
    vocabulary = published(dictionaries, name)
    assert (len(vocabulary), vocabulary.size, vocabulary.max_length) == (genes, size, length)
    assert vocabulary.special_tokens == special
    assert vocabulary.version == name.lower()
    path = shared / "data" / "dictionaries" / f"{table}.csv"
    stated = pd.read_csv(path, float_precision="round_trip", keep_default_na=False)
    stated = stated[stated.token_id >= len(special)].sort_values("token_id")
    np.testing.assert_array_equal(vocabulary.genes, stated.ensembl_id)
    np.testing.assert_array_equal(vocabulary.tokens, stated.token_id)
    np.testing.assert_array_equal(vocabulary.medians, stated.nonzero_median)
    np.testing.assert_array_equal(vocabulary.symbols, stated.gene_name)
    assert vocabulary.tokens_of(["ENSG00000141510"]) == vocabulary.tokens_of(["tp53"])


def test_published_aliases_of_v2(shared, dictionaries):
    vocabulary = published(dictionaries, "V2")
    path = shared / "data" / "dictionaries" / "gc104m_ensembl_mapping.csv"
    mapping = pd.read_csv(path, keep_default_na=False)
    mapping = mapping[mapping.ensembl_id.isin(set(vocabulary.genes.tolist()))]
    assert {key: vocabulary.aliases[key] for key in mapping.key} == dict(
        zip(mapping.key, mapping.ensembl_id)
    )


def clone(dictionaries, root):
    shutil.copytree(dictionaries / "V2", root / "geneformer")
    shutil.copytree(dictionaries / "V1", root / "geneformer" / "gene_dictionaries_30m")
    return root


def test_clone_of_the_published_repository(dictionaries, tmp_path):
    root = clone(dictionaries, tmp_path / "clone")
    assert GeneVocabulary.load(root, version="v1").version == "v1"
    assert GeneVocabulary.load(root, version="v2").version == "v2"
    assert GeneVocabulary.load(root / "geneformer").version == "v2"
    message = (
        f"{root} holds the published dictionaries of both V1 and V2: say which with "
        'version="v1" or version="v2"'
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        GeneVocabulary.load(root)


@pytest.mark.parametrize("name", ["V1", "V2"])
def test_own_format_round_trip(dictionaries, tmp_path, name):
    vocabulary = published(dictionaries, name)
    vocabulary.save(tmp_path / "vocabulary")
    for place in (tmp_path / "vocabulary", tmp_path):  # a preset holds it in this folder
        again = GeneVocabulary.load(place)
        for field in ("genes", "tokens", "medians", "symbols"):
            np.testing.assert_array_equal(getattr(again, field), getattr(vocabulary, field))
        for field in ("aliases", "special_tokens", "version", "max_length", "size", "checksum"):
            assert getattr(again, field) == getattr(vocabulary, field)


def test_checksum_covers_what_a_model_depends_on():
    def checksum(tokens=(2, 3), medians=(1.0, 2.0), genes=("A", "B"), **more):
        return GeneVocabulary(genes, tokens, medians, **more).checksum

    base = checksum()
    special = {"<pad>": 0, "<mask>": 1, "<cls>": 4, "<eos>": 5}
    changed = [
        checksum(tokens=(3, 2)),
        checksum(medians=(1.0, np.nextafter(2.0, 3.0))),
        checksum(genes=("A", "C")),
        checksum(special_tokens=special),
    ]
    assert len({base, *changed}) == 5
    assert checksum(symbols=("x", "y"), aliases={"z": "A"}, version="other") == base
    assert checksum(genes=("B", "A"), tokens=(3, 2), medians=(2.0, 1.0)) == base


def test_saving_replaces_a_vocabulary_and_nothing_else(tmp_path):
    vocabulary = tiny_vocabulary()
    vocabulary.save(tmp_path / "v")
    tiny_vocabulary(cls=True).save(tmp_path / "v")
    assert GeneVocabulary.load(tmp_path / "v").cls_token_id == 2
    (tmp_path / "v" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds something else than what would replace it"):
        vocabulary.save(tmp_path / "v")
    assert GeneVocabulary.load(tmp_path / "v").cls_token_id == 2


def test_damaged_files_of_the_own_format(tmp_path):
    def fresh():
        tiny_vocabulary().save(tmp_path / "v")
        return tmp_path / "v"

    directory = fresh()
    data = (directory / "genes.parquet").read_bytes()
    (directory / "genes.parquet").write_bytes(data[:-1] + b"x")
    with pytest.raises(ValueError, match=r"genes\.parquet is not the file that was written"):
        GeneVocabulary.load(directory)
    (directory / "genes.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no genes\.parquet, which its vocabulary\.js"):
        GeneVocabulary.load(directory)
    manifest = directory / "vocabulary.json"
    manifest.write_text(manifest.read_text()[:-5])
    with pytest.raises(ValueError, match=r"vocabulary\.json is not JSON"):
        GeneVocabulary.load(directory)
    manifest.write_text("{}")
    with pytest.raises(ValueError, match="is not a keras_geneformer vocabulary manifest"):
        GeneVocabulary.load(directory)
    shutil.rmtree(directory)
    manifest = fresh() / "vocabulary.json"
    manifest.write_text(manifest.read_text().replace('"<mask>": 1', '"<mask>": 900'))
    with pytest.raises(ValueError, match="states the vocabulary checksum"):
        GeneVocabulary.load(directory)


def test_missing_places(tmp_path, dictionaries):
    with pytest.raises(FileNotFoundError, match='nowhere is no directory; expected "v1", "v2"'):
        GeneVocabulary.load(tmp_path / "nowhere")
    with pytest.raises(
        FileNotFoundError, match=r"holds no vocabulary: neither vocabulary\.json nor"
    ):
        GeneVocabulary.load(tmp_path)
    source = dictionaries / "V1" / "token_dictionary_gc30M.pkl"
    shutil.copy(source, tmp_path / source.name)
    with pytest.raises(
        FileNotFoundError, match=r"has no gene_median_dictionary_gc30M\.pkl, one of"
    ):
        GeneVocabulary.load(tmp_path)
    with pytest.raises(ValueError, match=r"version is 'v3'; expected \"v1\" or \"v2\""):
        GeneVocabulary.load(tmp_path, version="v3")


def test_lookups():
    vocabulary = GeneVocabulary(
        ["ENSG00000141510", "ENSG00000111640"],
        [3, 2],
        [1.5, 12.0],
        symbols=["TP53", ""],
        aliases={"p53": "ENSG00000141510"},
    )
    assert vocabulary.genes.tolist() == ["ENSG00000111640", "ENSG00000141510"]
    names = ["ensg00000141510", " P53 ", "ENSG00000111640.12", "ENSG00000111640.x", None, 3.0, ""]
    assert vocabulary.tokens_of(names).tolist() == [3, 3, 2, -1, -1, -1, -1]
    assert vocabulary.genes_of([3, 0]).tolist() == ["ENSG00000141510", "<pad>"]
    assert vocabulary.symbols_of(np.array([[3, 2]])).tolist() == [["TP53", "ENSG00000111640"]]
    for token in (4, -1):
        with pytest.raises(ValueError, match=f"token {token} stands for nothing in GeneVocab"):
            vocabulary.genes_of([2, token])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"genes": []}, "0 genes, 2 tokens|index"),
        ({"medians": [1.0, 0.0]}, "1 medians are not above zero, among them that of B"),
        ({"medians": [1.0, np.nan]}, "1 medians are not above zero, among them that of B"),
        ({"genes": ["A", "a"]}, "a gene id stands twice in genes"),
        ({"tokens": ["2", "3"]}, "tokens are <U1; expected integers"),
        ({"tokens": [2, 5.5]}, "tokens are float64; expected integers"),
        ({"tokens": [2, 2]}, "each stand for one gene or special"),
        ({"tokens": [1, 2]}, "each stand for one gene or special"),
        ({"special_tokens": {"<pad>": 0}}, r"special_tokens are \['<pad>'\]; expected <pad> and"),
        ({"aliases": {"x": "C"}}, "aliases lead to 1 genes not in genes: C"),
        ({"max_length": 2}, "max_length is 2; expected room for a gene"),
    ],
)
def test_contradictions_are_refused(changes, message):
    fields = {"genes": ["A", "B"], "tokens": [2, 3], "medians": [1.0, 2.0]}
    with pytest.raises((ValueError, IndexError), match=message):
        GeneVocabulary(**(fields | changes))


@pytest.mark.parametrize("entry", [{"ENSG1": "9"}, {"ENSG1": 5.5}, {"<cls>": "9"}])
def test_published_tokens_that_are_no_integers(tmp_path, entry):
    tokens = {"<pad>": 0, "<mask>": 1, **entry}
    for kind, content in [
        ("token_dictionary", tokens),
        ("gene_median_dictionary", {"ENSG1": 1.0}),
        ("gene_name_id_dict", {"A": "ENSG1"}),
        ("ensembl_mapping_dict", {"A": "ENSG1"}),
    ]:
        (tmp_path / f"{kind}_gc30M.pkl").write_bytes(pickle.dumps(content))
    [(name, token)] = entry.items()
    message = f"token_dictionary_gc30M.pkl has {name!r}: {token!r}; expected a gene id and an int"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        GeneVocabulary.load(tmp_path)
