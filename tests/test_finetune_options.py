import argparse

import pytest

from keras_geneformer.cli import main, training


def test_a_file_of_cells_is_read_to_its_last_name(tmp_path):
    path = tmp_path / "names.txt"
    for text in ("c1\nc2", "c1\nc2\n"):
        path.write_text(text)
        assert training.held_out(str(path)) == ["c1", "c2"]
    with pytest.raises(argparse.ArgumentTypeError, match="cannot be read"):
        training.held_out(str(tmp_path / "none.txt"))


def test_keep_adds_up_and_wants_a_column(monkeypatch, capsys):
    import keras_geneformer

    arguments = ["finetune-cells", "x", "--model", "m", "--label-key", "k", "--output", "o"]
    asked = {}

    def stand_in(*args, **options):
        asked.update(options)
        raise ValueError("enough")

    monkeypatch.setattr(keras_geneformer, "finetune_cells", stand_in)
    monkeypatch.setattr(keras_geneformer.CellDataset, "load", lambda path: path)
    assert main([*arguments, "--keep", "a=1", "--keep", "b=x", "--keep", "a=2,3"]) == 2
    assert asked["keep"] == {"a": ["1", "2", "3"], "b": ["x"]}
    with pytest.raises(SystemExit):
        main([*arguments, "--keep", "a"])
    assert "'a' is not COLUMN=VALUE,VALUE" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["finetune-cells", "finetune-multitask"])
def test_set_is_for_settings(verb, monkeypatch, capsys):
    import keras_geneformer

    monkeypatch.setattr(keras_geneformer.CellDataset, "load", lambda path: path)
    key = "--label-key" if verb == "finetune-cells" else "--label-keys"
    arguments = [verb, "x", "--model", "m", key, "a,b", "--output", "o", "--set"]
    assert main([*arguments, "output=p"]) == 2
    assert "error: --set output is no setting: see --help" in capsys.readouterr().err
