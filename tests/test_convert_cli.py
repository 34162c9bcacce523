"""The verb `convert`: there, back, and the table of --verify."""

import pytest

from keras_geneformer.cli import main
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

pytest.importorskip("torch")
pytest.importorskip("transformers")


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def source(reference):
    return reference / "checkpoints" / "tiny-v1-gene"


def test_there_and_back_with_the_table(source, dictionaries, tmp_path, capsys):
    preset, bert = tmp_path / "preset", tmp_path / "bert"
    vocabulary = dictionaries / "V1"
    assert run("convert", source, preset, "--vocabulary", vocabulary, "--verify") == 0
    out = capsys.readouterr().out
    assert "55 of 55 bit-equal" in out
    assert "hidden states 3" in out
    assert out.endswith(f"GeneformerGeneClassifier with 904,994 weights in {preset}\n")
    assert run("convert", preset, bert, "--with-vocabulary", "--max-shard-bytes", 400_000) == 0
    assert capsys.readouterr().out.startswith("GeneformerGeneClassifier with")
    assert (bert / "model.safetensors.index.json").is_file()
    assert GeneVocabulary.load(bert).checksum == GeneVocabulary.load(vocabulary).checksum

    # What is there already is compared, and left as it is.
    before = {path.name: path.stat().st_mtime_ns for path in bert.iterdir()}
    assert run("convert", preset, bert, "--verify") == 0
    out = capsys.readouterr().out
    assert f"{bert} was there already and is left as it is: it is what the source is" in out
    other = source.parent / "tiny-v1-cell"
    assert run("convert", other, bert, "--verify") == 1
    assert "is left as it is: 5 of 8 checks failed" in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in bert.iterdir()} == before


def test_without_a_destination_nothing_is_left(source, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("convert", source, "--verify") == 0
    out = capsys.readouterr().out
    assert "scores" in out
    assert out.endswith("GeneformerGeneClassifier with 904,994 weights\n")
    assert not list(tmp_path.iterdir())


def test_a_mismatch_leaves_nothing(source, tmp_path, capsys, monkeypatch):
    from keras_geneformer.models import converting

    def written_wrong(model, place, vocabulary=None):
        model.get_layer("scores").bias.assign([1.0, 2.0])
        save_preset(model, place, vocabulary)

    save_preset = converting.save_preset
    monkeypatch.setattr(converting, "save_preset", written_wrong)
    assert run("convert", source, tmp_path / "preset", "--verify") == 1
    out = capsys.readouterr().out
    assert "DIFFERS" in out
    assert out.endswith("2 of 12 checks: tensors, scores. Nothing was written.\n")
    assert not list(tmp_path.iterdir())


def test_wrong_requests(source, tmp_path, capsys):
    def refused(*arguments):
        assert run("convert", *arguments) == 2
        return capsys.readouterr().err

    assert "Received 0 destinations; expected one" in refused(source)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    assert "holds something else" in refused(source, tmp_path / "notes")
    assert "config.json is missing" in refused(source, tmp_path / "notes", "--verify")
    assert "There is no preset at" in refused(tmp_path / "nowhere", tmp_path / "out", "--verify")
    assert "config.json is missing" in refused(tmp_path / "notes", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]
