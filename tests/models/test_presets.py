import json
import logging
import re

import keras
import numpy as np
import pytest

from keras_geneformer.models.backbone import GeneformerBackbone
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.gene_classifier import GeneformerGeneClassifier
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.models.presets import preset_vocabulary
from keras_geneformer.testing import tiny_backbone, tiny_vocabulary
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

pytestmark = pytest.mark.tensors

MODELS = [
    GeneformerBackbone,
    GeneformerMaskedLM,
    GeneformerCellClassifier,
    GeneformerGeneClassifier,
]


def small(**options):
    return tiny_backbone(num_layers=1, initializer_range=0.2, **options)


def build(cls):
    backbone = small()
    if cls is GeneformerCellClassifier:
        return cls(backbone, classes=["B", "T"], pooling="mean", head_layers=1)
    if cls is GeneformerGeneClassifier:
        return cls(backbone, num_classes=3)
    return backbone if cls is GeneformerBackbone else cls(backbone)


def same_weights(one, other):
    return len(one.weights) == len(other.weights) and all(
        np.array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
        for a, b in zip(one.weights, other.weights)
    )


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A saved cell classifier: the model and its preset, which tests must not change."""
    model = build(GeneformerCellClassifier)
    directory = tmp_path_factory.mktemp("presets") / "classifier"
    model.save_to_preset(directory, vocabulary=tiny_vocabulary())
    return model, directory


@pytest.fixture
def preset(classifier, tmp_path):
    """A copy of the classifier's preset, to be damaged."""
    _, directory = classifier
    for path in directory.rglob("*"):
        if path.is_file():
            copy = tmp_path / "preset" / path.relative_to(directory)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return tmp_path / "preset"


def describe(preset, **changes):
    path = preset / "preset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("cls", MODELS)
@pytest.mark.parametrize("with_vocabulary", [True, False])
def test_round_trip(cls, with_vocabulary, tmp_path, caplog):
    model = build(cls)
    vocabulary = tiny_vocabulary() if with_vocabulary else None
    model.save_to_preset(tmp_path / "preset", vocabulary=vocabulary)
    again = cls.from_preset(tmp_path / "preset")
    assert type(again) is cls
    assert again.get_config() == model.get_config()
    assert same_weights(again, model)
    assert again.vocabulary_checksum == tiny_vocabulary().checksum
    assert not caplog.records
    kept = preset_vocabulary(tmp_path / "preset")
    assert (kept and kept.checksum) == (vocabulary and vocabulary.checksum)
    expected = {"preset.json", "model.weights.h5"} | ({"vocabulary"} if with_vocabulary else set())
    assert {path.name for path in (tmp_path / "preset").iterdir()} == expected
    assert [path.name for path in tmp_path.iterdir()] == ["preset"]


def test_a_vocabulary_given_while_saving_is_the_models_from_then_on(tmp_path):
    backbone = small(cls=True, vocabulary_checksum=None, special_token_ids=(0, 1))
    model = GeneformerMaskedLM(backbone)
    vocabulary = tiny_vocabulary(cls=True)
    model.save_to_preset(tmp_path / "preset", vocabulary=vocabulary)
    again = GeneformerBackbone.from_preset(tmp_path / "preset")
    assert again.vocabulary_checksum == vocabulary.checksum
    assert again.special_token_ids == (0, 1, 2, 3)
    assert preset_vocabulary(tmp_path / "preset").checksum == vocabulary.checksum


def test_the_backbone_of_every_preset(classifier):
    model, directory = classifier
    assert same_weights(GeneformerBackbone.from_preset(directory), model.backbone)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_classes": 2},
        {"num_classes": np.int64(2), "classes": np.array(["B", "T"])},
        {"pooling": "mean", "head_layers": 1},
    ],
)
def test_the_head_is_kept_where_it_fits(classifier, options, caplog):
    model, directory = classifier
    assert same_weights(GeneformerCellClassifier.from_preset(directory, **options), model)
    assert not caplog.records


@pytest.mark.parametrize(
    "options",
    [
        {"num_classes": 3},
        {"classes": ["T", "B"]},
        {"num_classes": 2, "pooling": "first"},
        {"num_classes": 2, "head_layers": 0},
    ],
)
def test_another_head_starts_from_random_weights(classifier, options, caplog):
    model, directory = classifier
    with caplog.at_level(logging.WARNING, logger="keras_geneformer.models.presets"):
        other = GeneformerCellClassifier.from_preset(directory, **options)
    assert all(np.all(getattr(other, name) == value) for name, value in options.items())
    assert same_weights(other.backbone, model.backbone)
    assert not same_weights(other.get_layer("pooler"), model.get_layer("pooler"))
    assert caplog.messages == [
        "The head of this GeneformerCellClassifier starts from random weights: the preset holds a "
        "GeneformerCellClassifier with another head."
    ]


def test_a_preset_without_the_head_lends_its_backbone(classifier, caplog):
    model, directory = classifier
    other = GeneformerGeneClassifier.from_preset(directory, classes=["x", "y"])
    assert same_weights(other.backbone, model.backbone)
    assert caplog.messages == [
        "The head of this GeneformerGeneClassifier starts from random weights: the preset holds a "
        "GeneformerCellClassifier."
    ]
    with pytest.raises(ValueError, match=r"^Received num_classes=None; expected the number of cl"):
        GeneformerGeneClassifier.from_preset(directory)


def test_dtype(classifier):
    model, directory = classifier
    for cls in (GeneformerCellClassifier, GeneformerBackbone):
        mixed = cls.from_preset(directory, dtype="mixed_bfloat16")
        backbone = getattr(mixed, "backbone", mixed)
        assert backbone.dtype_policy.name == "mixed_bfloat16"
        assert same_weights(backbone, model.backbone)


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (
            GeneformerMaskedLM,
            "GeneformerMaskedLM.from_preset received num_clases; it takes dtype, revision.",
        ),
        (
            GeneformerCellClassifier,
            "GeneformerCellClassifier.from_preset received num_clases; it takes classes, dtype, "
            "head_dropout, head_layers, num_classes, pooling, revision, task.",
        ),
    ],
)
def test_unknown_options_are_named(classifier, cls, message):
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        cls.from_preset(classifier[1], num_clases=2)


def refused(preset, message, error=ValueError, load=GeneformerCellClassifier.from_preset):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        load(preset)


@pytest.mark.parametrize("name", ["preset.json", "model.weights.h5"])
def test_a_missing_file_is_named(preset, name):
    (preset / name).unlink()
    message = f"The preset {preset} lacks {name}. Copy or download the whole directory."
    refused(preset, message, FileNotFoundError)


def test_a_missing_vocabulary_is_named(preset):
    (preset / "vocabulary" / "genes.parquet").unlink()
    message = f"{preset / 'vocabulary'} has no genes.parquet, which its vocabulary.json names"
    refused(preset, message, FileNotFoundError, preset_vocabulary)
    for path in (preset / "vocabulary").iterdir():
        path.unlink()
    (preset / "vocabulary").rmdir()
    message = (
        f"The preset {preset} lacks its directory vocabulary. Copy or download the whole directory."
    )
    refused(preset, message, FileNotFoundError, preset_vocabulary)


def test_another_vocabulary_in_the_preset(preset):
    other = tiny_vocabulary(cls=True)
    other.save(preset / "vocabulary")
    message = (
        f"The vocabulary in {preset} has checksum {other.checksum}; the preset's weights belong to "
        f"{tiny_vocabulary().checksum}. Copy the preset again."
    )
    refused(preset, message, load=preset_vocabulary)


def test_truncated_weights(preset):
    path = preset / "model.weights.h5"
    expected = json.loads((preset / "preset.json").read_text())["weights_sha256"]
    path.write_bytes(path.read_bytes()[:-100])
    message = (
        rf"^{re.escape(str(path))} has sha256 [0-9a-f]{{64}}; preset\.json expects {expected}\. "
        r"The file is truncated or not of this preset: copy or download the directory again\.$"
    )
    with pytest.raises(ValueError, match=message):
        GeneformerCellClassifier.from_preset(preset)


def test_damaged_descriptions(preset):
    path = preset / "preset.json"
    whole = json.loads(path.read_text())
    describe(preset, format=2, model="Other")
    refused(
        preset,
        f"{path}: received format 2 and model 'Other'; expected format 1 and one of "
        "GeneformerBackbone, GeneformerMaskedLM, GeneformerCellClassifier, "
        "GeneformerGeneClassifier, GeneformerMultiTaskClassifier. It may come from a newer "
        "keras_geneformer: upgrade.",
    )
    path.write_text("[]")
    refused(preset, f"{path} holds a list; expected a JSON object. Copy the preset again.")
    path.write_text(json.dumps({key: whole[key] for key in ("format", "model", "vocabulary")}))
    refused(
        preset,
        f"{path} lacks config, vocabulary_checksum, weights_sha256. Copy the preset again.",
    )
    path.write_text(json.dumps(whole)[:-5])
    with pytest.raises(ValueError, match=r"is not valid JSON \(.*\)\. Copy the preset again\.$"):
        GeneformerCellClassifier.from_preset(preset)


def test_what_training_kept_beside_the_weights_is_left_out(tmp_path):
    model = build(GeneformerMaskedLM)
    model.save_to_preset(tmp_path / "before")
    optimizer = keras.optimizers.Adam()
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy())
    optimizer.build(model.trainable_variables)
    model.save_to_preset(tmp_path / "after")
    assert model.optimizer is optimizer
    before, after = (tmp_path / name / "model.weights.h5" for name in ("before", "after"))
    assert after.stat().st_size == before.stat().st_size


def test_no_such_directory(tmp_path):
    message = (
        f"There is no preset at {tmp_path / 'no'}. Expected a directory (of ours, with preset.json,"
        " or a published one, with config.json), a file of Keras (*.keras), "
        "'hf://organisation/repository/subfolder', or a "
        "name: geneformer_mini (comes with the package), geneformer_v1_10m, geneformer_v2_104m, "
        "geneformer_v2_104m_clcancer, geneformer_v2_316m (from the hub)."
    )
    refused(tmp_path / "no", message, FileNotFoundError)


def test_the_vocabulary_must_be_the_models(tmp_path):
    model = build(GeneformerMaskedLM)
    larger = tiny_vocabulary(cls=True)
    message = (
        "Received a vocabulary of 124 tokens for a model of 122. Expected the vocabulary the model "
        "was trained with."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model.save_to_preset(tmp_path / "preset", vocabulary=larger)
    own = tiny_vocabulary()
    other = GeneVocabulary(own.genes, own.tokens, own.medians * 2)
    message = (
        f"Received a vocabulary with checksum {other.checksum} for a model whose weights belong to "
        f"{own.checksum}. Expected the vocabulary the model was trained with."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model.save_to_preset(tmp_path / "preset", vocabulary=other)
    assert not list(tmp_path.iterdir())


def test_something_else_is_not_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    message = "exists and holds something else than what would replace it; nothing was written"
    with pytest.raises(FileExistsError, match=message):
        build(GeneformerBackbone).save_to_preset(tmp_path / "thesis")
    assert [path.name for path in tmp_path.rglob("*")] == ["thesis", "chapter1.txt"]


def test_an_interrupted_save_leaves_the_earlier_preset(classifier, preset, monkeypatch):
    model, _ = classifier
    other = build(GeneformerCellClassifier)

    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(GeneVocabulary, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        other.save_to_preset(preset, vocabulary=tiny_vocabulary())
    assert same_weights(GeneformerCellClassifier.from_preset(preset), model)
    assert [path.name for path in preset.parent.iterdir()] == ["preset"]
    monkeypatch.undo()
    other.save_to_preset(preset)
    assert same_weights(GeneformerCellClassifier.from_preset(preset), other)
    assert not (preset / "vocabulary").exists()


def test_a_preset_with_a_strangers_file_is_not_replaced(preset):
    (preset / "notes.txt").write_text("two years of work")
    with pytest.raises(FileExistsError, match="holds something else"):
        small().save_to_preset(preset)
    assert (preset / "notes.txt").read_text() == "two years of work"


@pytest.mark.parametrize("cls", MODELS[1:])
def test_only_a_backbone_is_built_from_a_configuration(cls):
    foreign = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 3}}
    for backbone in (foreign, None, {"class_name": "GeneformerBackbone"}):
        with pytest.raises(ValueError, match=r"expected 'GeneformerBackbone'"):
            cls.from_config({"backbone": backbone})


def test_misspelt_arguments_are_refused():
    with pytest.raises(TypeError, match="poolling"):
        GeneformerCellClassifier(small(), num_classes=2, poolling="mean")
    with pytest.raises(TypeError, match="num_layer"):
        small(num_layer=3)
