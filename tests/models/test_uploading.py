import json
import re
import shutil

import numpy as np
import pytest
from loopback_hub import LARGE, NEW, TOKEN, serving

import keras_geneformer as kg
from keras_geneformer.cli import main
from keras_geneformer.models.hub_presets import fetch_preset
from keras_geneformer.models.preset_card import preset_card
from keras_geneformer.models.uploading import upload_preset
from keras_geneformer.shipped_presets import local_directory

ADDRESS = "hf://lab/cells/mini"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    (tmp_path / "repositories").mkdir()
    with serving(tmp_path / "repositories", tmp_path / "cache", monkeypatch) as server:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


@pytest.fixture
def mini(tmp_path):
    """A copy of the preset that comes with the package."""
    return shutil.copytree(local_directory("geneformer_mini"), tmp_path / "mini")


def files_in(directory):
    found = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


def refused(error, message, preset, address=ADDRESS, **options):
    with pytest.raises(error) as caught:
        upload_preset(preset, address, **options)
    assert re.fullmatch(message, str(caught.value)), str(caught.value)


def test_a_preset_goes_up_whole_and_comes_back_with_the_same_bytes(hub, mini):
    upload = upload_preset(mini, ADDRESS, private=True, message="First")
    assert upload.files == {name: len(data) for name, data in files_in(mini).items()}
    assert (upload.left_out, upload.replaced, upload.address) == ((), (), ADDRESS)
    assert hub.messages == ["First"]
    assert hub.visibility == {"lab/cells": "private"}
    assert upload.commit == hub.heads["main"] != NEW
    # Weights go where large files are kept, the rest into git.
    assert max(map(len, hub.objects.values())) == upload.files["model.weights.h5"] > LARGE
    back = fetch_preset(ADDRESS)
    assert back.parent.name == upload.commit
    needed = ("preset.json", "model.weights.h5", "vocabulary/")
    assert files_in(back) == {k: v for k, v in files_in(mini).items() if k.startswith(needed)}
    assert files_in(hub.root / "lab" / "cells" / "mini") == files_in(mini)


@pytest.mark.tensors
def test_a_model_comes_back_equal_to_the_bit(hub, tmp_path):
    from keras_geneformer.testing import tiny_backbone, tiny_vocabulary

    model = kg.GeneformerCellClassifier(tiny_backbone(num_layers=1), classes=["B", "T"])
    model.save_to_preset(tmp_path / "tiny", vocabulary=tiny_vocabulary())
    kg.upload_preset(tmp_path / "tiny", ADDRESS)
    back = kg.GeneformerCellClassifier.from_preset(ADDRESS)
    assert back.classes == ["B", "T"]
    for one, other in zip(model.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert kg.GeneVocabulary.load(ADDRESS).checksum == tiny_vocabulary().checksum


def test_only_what_is_of_a_preset_goes_up_and_what_an_earlier_one_left_goes(hub, mini, caplog):
    (mini / "secrets.txt").write_text("not for you")
    (mini / "metrics.json").write_text("{}")
    upload = upload_preset(mini, ADDRESS)
    assert upload.left_out == ("secrets.txt",)
    assert caplog.messages == ["left out, being no part of a preset: secrets.txt"]
    folder = hub.root / "lab" / "cells" / "mini"
    assert "secrets.txt" not in files_in(folder)
    (folder / "notes.txt").write_text("of the repository")
    (hub.root / "lab" / "cells" / "metrics.json").write_text("of another folder")
    (mini / "metrics.json").unlink()
    again = upload_preset(mini, ADDRESS)
    assert again.replaced == ("metrics.json",)
    assert {"notes.txt", "preset.json"} <= set(files_in(folder))
    assert "metrics.json" not in files_in(folder)
    assert (hub.root / "lab" / "cells" / "metrics.json").is_file()


def test_a_branch_is_made_where_there_is_none(hub, mini):
    upload = upload_preset(mini, "hf://lab/cells", revision="trial")
    assert hub.heads == {"main": NEW, "trial": upload.commit}


def test_a_preset_without_a_card_gets_one_on_the_hub_alone(hub, mini):
    (mini / "README.md").unlink()
    upload_preset(mini, ADDRESS, licence="apache-2.0", base_model="ctheodoris/Geneformer")
    assert not (mini / "README.md").exists()
    card = (hub.root / "lab" / "cells" / "mini" / "README.md").read_text()
    description = json.loads((mini / "preset.json").read_text())
    assert card.startswith(
        "---\nlibrary_name: keras\nlicense: apache-2.0\nbase_model: ctheodoris/Geneformer\n"
        "tags:\n- keras\n"
    )
    assert (
        "# mini\n\nA Geneformer masked language model of 1,641,514 parameters: 3 encoder blocks, "
        "128 dim, 4 heads, 256 feed-forward units, cells of up to 512 tokens, 9,002 token ids.\n"
    ) in card
    assert f'model = kg.GeneformerMaskedLM.from_preset("{ADDRESS}")' in card
    assert (
        "The vocabulary it belongs to has checksum "
        f"`{description['vocabulary_checksum']}` and is kept with it."
    ) in card
    assert f"`{description['weights_sha256']}`" in card


def test_the_card_names_classes_and_heads_that_differ():
    backbone = {
        **{"vocabulary_size": 30, "num_layers": 2, "num_heads": [2, 1], "hidden_dim": 8},
        **{"intermediate_dim": 16, "max_sequence_length": 16, "head_dim": 4},
    }
    config = {"backbone": {"config": backbone}, "tasks": {"type": ["B", "T"], "sex": ["f", "m"]}}
    description = {"model": "GeneformerMultiTaskClassifier", "config": config}
    description |= {"vocabulary": False, "vocabulary_checksum": None}
    card = preset_card(description, "hf://lab/cells")
    assert "- type: B, T\n- sex: f, m\n" in card
    assert "8 dim, 1 to 2 heads, 16 feed-forward units" in card
    assert "It is not known which vocabulary the weights belong to." in card
    description["quantization"] = {"layers": {"a": "int8", "b": "int4", "c": "int8"}, "graphs": {}}
    card = preset_card(description, "hf://lab/cells")
    assert (
        "quantized: int4, int8. Its blocks are OpenVINO graphs, for that backend alone.\n" in card
    )


def test_nothing_is_sent_in_a_dry_run(hub, monkeypatch, capsys):
    monkeypatch.delenv("HF_TOKEN")
    assert main(["upload", "geneformer_mini", ADDRESS, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "      6,684,600  model.weights.h5\n" in said
    assert said.endswith(f"would go to {ADDRESS}; nothing was sent\n")
    assert not hub.posted


def test_the_verb(hub, mini, capsys):
    (mini / "README.md").unlink()
    (mini / "junk").mkdir()
    arguments = ["upload", str(mini), ADDRESS, "--licence", "apache-2.0", "--message", "Second"]
    assert main(arguments) == 0
    assert f"in {ADDRESS}, commit {hub.heads['main']}\n" in capsys.readouterr().out
    assert hub.messages == ["Second"]
    assert main([*arguments[:2], "lab/cells"]) == 2
    assert "error: Received preset='lab/cells'; expected 'hf://" in capsys.readouterr().err


def test_what_is_refused(hub, mini, monkeypatch, tmp_path):
    card = f"{re.escape(str(mini))} has a model card: write the licence and the base model into .*"
    refused(ValueError, card, mini, licence="mit")
    (mini / "README.md").unlink()
    name = r"Received licence='a\\nb: c'; expected a name as the hub has them, such as .*"
    refused(ValueError, name, mini, licence="a\nb: c")
    refused(ValueError, r"Received preset='lab/cells'; expected 'hf://.*", mini, "lab/cells")
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "config.json").write_text("{}")
    refused(ValueError, r".* is no preset of keras_geneformer: it has.*", tmp_path / "published")
    with (mini / "model.weights.h5").open("ab") as file:
        file.write(b"0")
    refused(ValueError, r".* is missing, or is not the file that preset\.json describes\..*", mini)
    assert not hub.posted


def test_who_may_not_write_is_told(hub, mini, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    refused(
        PermissionError, r"The hub does not let this token write to lab/cells \(401\)\..*", mini
    )
    monkeypatch.delenv("HF_TOKEN")
    refused(PermissionError, r"There is no token for the hub: set HF_TOKEN to one .*", mini)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    refused(ConnectionError, r"The hub was not reached \(.*\): nothing was changed", mini)
