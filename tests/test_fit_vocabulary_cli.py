"""The verb fit-vocabulary, with its options."""

import pandas as pd
import pytest

from keras_geneformer import GeneVocabulary
from keras_geneformer.cli import main
from keras_geneformer.testing import synthetic_cells, tiny_vocabulary


def run(*arguments) -> int:
    return main(["fit-vocabulary", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two files, whose genes 0 to 59 are protein coding."""
    place = tmp_path_factory.mktemp("corpus")
    for number in range(2):
        adata = synthetic_cells(60, seed=number)
        adata.var["kind"] = ["protein_coding"] * 60 + ["lncRNA"] * 60
        adata.write_h5ad(place / f"{number}.h5ad")
    return place


def test_parts_read_apart_and_merged(folder, tmp_path, capsys):
    assert run(folder, "--workers", 2, "--output", tmp_path / "whole") == 0
    assert "120 genes of 120 cells, 122 token ids (checksum " in capsys.readouterr().out
    for number in range(2):
        part = tmp_path / f"part{number}"
        assert run(folder / f"{number}.h5ad", "--biotype-key", "kind", "--save-medians", part) == 0
    assert "medians of 120 genes in 60 cells in " in capsys.readouterr().out
    parts = ("--merge", tmp_path / "part0", tmp_path / "part1")
    assert run(*parts, "--output", tmp_path / "merged") == 0
    assert run(*parts, "--biotypes", "lncRNA", "--output", tmp_path / "lncRNA") == 0
    whole = GeneVocabulary.load(tmp_path / "whole")
    assert GeneVocabulary.load(tmp_path / "merged").checksum == whole.checksum
    assert GeneVocabulary.load(tmp_path / "lncRNA").genes.tolist() == whole.genes[60:].tolist()


def test_every_choice_of_genes(folder, tmp_path):
    special = "<pad>,<mask>,<cls>,<eos>"
    output = tmp_path / "new"
    options = ("--biotypes", "protein_coding", "--biotype-key", "kind", "--min-cells", 2)
    options += ("--max-genes", 50, "--special-tokens", special, "--max-length", 99)
    assert run(folder, *options, "--name", "mine", "--output", output) == 0
    expected = GeneVocabulary.fit(
        folder,
        biotypes=["protein_coding"],
        biotype_key="kind",
        min_cells=2,
        max_genes=50,
        special_tokens=special.split(","),
    )
    fitted = GeneVocabulary.load(output)
    assert fitted.checksum == expected.checksum
    assert (fitted.max_length, fitted.version, len(fitted)) == (99, "mine", 50)
    assert run(folder, "--extend", output, "--output", tmp_path / "longer") == 0
    longer = GeneVocabulary.load(tmp_path / "longer")
    assert len(longer) == 120
    assert longer.genes[:50].tolist() == fitted.genes.tolist()
    assert (longer.max_length, longer.cls_token_id) == (99, 2)


def test_orthologs_are_saved_with_the_vocabulary(folder, tmp_path):
    gene = str(tiny_vocabulary().genes[3])
    table = pd.DataFrame({"gene": ["ENSMUSG00000000003"], "ortholog": [gene]})
    table.to_csv(tmp_path / "mouse.csv", index=False)
    assert run(folder, "--orthologs", tmp_path / "mouse.csv", "--output", tmp_path / "new") == 0
    fitted = GeneVocabulary.load(tmp_path / "new")
    assert fitted.tokens_of(["ENSMUSG00000000003.1"]).tolist() == fitted.tokens_of([gene]).tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--output", "new"), "expected either files of counts or --merge with parts"),
        (
            ("FILES", "--merge", "a", "--output", "new"),
            "expected either files of counts or --merge with parts",
        ),
        (("FILES",), "nothing would be written: give --output, --save-medians or both"),
        (
            ("FILES", "--biotypes", "miRNA", "--output", "new"),
            "--biotypes needs --biotype-key or --biotype-table",
        ),
        (
            ("FILES", "--biotype-key", "kind", "--output", "new"),
            "--biotypes says which genes to keep; it is missing",
        ),
        (
            ("FILES", "--biotypes", "miRNA", "--save-medians", "part"),
            "--save-medians keeps all genes: choose --biotypes when parts are merged",
        ),
        (
            ("FILES", "--biotypes", "miRNA", "--biotype-key", "kind", "--output", "new"),
            "none of the 120 detected genes has one of the biotypes miRNA; known are "
            "protein_coding, lncRNA",
        ),
        (("FILES", "--workers", "0", "--output", "new"), "workers is 0; expected 1 or more"),
        (("--merge", "part", "--output", "new"), "part: no such file"),
    ],
)
def test_what_cannot_be_done_is_said(folder, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    assert run(*(folder if option == "FILES" else option for option in options)) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {message}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--special-tokens", "<pad>"), "special_tokens are ['<pad>']; expected <pad> and <mask>"),
        (("--max-length", 2), "max_length is 2; expected room for a gene"),
        (("--max-genes", 0), "max_genes is 0; expected 1 or more"),
        (("--orthologs", "none.csv"), "none.csv: no such file"),
        (("--biotypes", "miRNA", "--biotype-table", "none.csv"), "none.csv: no such file"),
        (("--save-medians", __file__), "exists and holds no gene medians; nothing was written"),
        (("--output", __file__), "is a file; expected a new name or a directory"),
    ],
)
def test_refused_before_the_corpus_is_read(options, message, folder, tmp_path, capsys, monkeypatch):
    def read(*_, **__):
        raise AssertionError("the corpus was read")

    monkeypatch.setattr("keras_geneformer.tokenization.medians.median_fitting.fit_medians", read)
    assert run(folder, "--output", tmp_path / "x", *options) != 0
    assert message in capsys.readouterr().err
