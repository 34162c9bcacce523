"""Models of ours as checkpoints that `transformers` loads."""

import json
import re

import keras
import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.conversion.checkpoint_files import read_checkpoint
from keras_geneformer.models.published_export import export_to_transformers
from keras_geneformer.models.published_view import published_view
from keras_geneformer.testing import tiny_backbone, tiny_vocabulary

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}
LOADED = {
    "GeneformerBackbone": "BertModel",
    "GeneformerMaskedLM": "BertForMaskedLM",
    "GeneformerCellClassifier": "BertForSequenceClassification",
    "GeneformerGeneClassifier": "BertForTokenClassification",
}


def shaken(model, seed=0):
    """The model with weights in which every tensor, biases too, has its say."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        one = 1.0 if variable.path.endswith("gamma") else 0.0
        variable.assign((one + 0.1 * rng.normal(size=variable.shape)).astype("float32"))
    return model


def backbone(**changes):
    settings = {"dropout": 0.03, "attention_dropout": 0.07, "layer_norm_epsilon": 1e-9}
    return tiny_backbone(**{**settings, **changes})


def models():
    classes = {"classes": ["B", "T", "NK"]}
    return {
        "backbone": lambda: backbone(),
        "masked LM": lambda: kg.GeneformerMaskedLM(backbone(activation="gelu")),
        "cells": lambda: kg.GeneformerCellClassifier(backbone(), **classes, head_dropout=0.5),
        "cells, cls": lambda: kg.GeneformerCellClassifier(
            backbone(special_token_ids=(0, 1, 2, 3)),
            **classes,
            pooling="cls",
            task="multi-label",
        ),
        "dose": lambda: kg.GeneformerCellClassifier(
            backbone(activation="silu"), classes=["dose"], task="regression"
        ),
        "genes": lambda: kg.GeneformerGeneClassifier(backbone(), num_classes=2),
        "pruned": lambda: kg.GeneformerMaskedLM(
            backbone(num_heads=[1, 2, 2], intermediate_dim=[7, 64, 20], head_dim=16)
        ),
    }


def outputs(model, directory):
    """Ours and those of `transformers` at real tokens, one of the cells being padded."""
    cls = getattr(transformers, LOADED[type(model).__name__])
    options = {"add_pooling_layer": False} if cls is transformers.BertModel else {}
    theirs, loading = cls.from_pretrained(directory, output_loading_info=True, **options)
    assert not any(loading.values()), loading
    token_ids = np.random.default_rng(1).integers(4, 100, (2, 9)).astype("int32")
    padding_mask = np.array([[1] * 9, [1] * 4 + [0] * 5], "int32")
    with torch.no_grad():
        answer = theirs.eval()(
            input_ids=torch.from_numpy(token_ids).long(),
            attention_mask=torch.from_numpy(padding_mask).long(),
        )
    expected = answer.last_hidden_state if cls is transformers.BertModel else answer.logits
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    if isinstance(model, kg.GeneformerMaskedLM):
        inputs["mask_positions"] = np.tile(np.arange(9, dtype="int32"), (2, 1))
    received = keras.ops.convert_to_numpy(model(inputs))
    real = padding_mask.astype(bool) if received.ndim == 3 else slice(None)
    return theirs, received[real], expected.numpy()[real]


@pytest.mark.parametrize("name", models())
def test_transformers_gives_the_same(name, tmp_path):
    model = shaken(models()[name]())
    export_to_transformers(model, tmp_path / "checkpoint")
    theirs, received, expected = outputs(model, tmp_path / "checkpoint")
    np.testing.assert_allclose(received, expected, **TOLERANCE)
    assert expected.std() > 0.05
    # Saved by `transformers` again, every tensor has the same bits.
    theirs.save_pretrained(tmp_path / "again")
    ours, again = read_checkpoint(tmp_path / "checkpoint"), read_checkpoint(tmp_path / "again")
    assert set(ours) == set(again)
    assert all(ours[key].tobytes() == again[key].tobytes() for key in ours)
    if name != "pruned":
        back = type(model).from_preset(tmp_path / "checkpoint")
        for one, other in zip(back.weights, model.weights, strict=True):
            assert np.array_equal(*map(keras.ops.convert_to_numpy, (one, other))), one.path


def without_names(config):
    """A configuration without the names of models, which Keras counts up."""
    return {**config, "name": None, "backbone": {**config["backbone"]["config"], "name": None}}


def test_the_config_of_a_classifier_comes_back(tmp_path):
    model = kg.GeneformerCellClassifier(
        backbone(special_token_ids=(0, 1), initializer_range=0.03, num_segments=3),
        classes=["B", "T", "NK"],
        head_dropout=0.5,
    )
    export_to_transformers(model, tmp_path / "checkpoint", vocabulary=tiny_vocabulary())
    config = json.loads((tmp_path / "checkpoint" / "config.json").read_text())
    assert config["id2label"] == {"0": "B", "1": "T", "2": "NK"}
    assert config["label2id"] == {"B": 0, "T": 1, "NK": 2}
    assert (config["problem_type"], config["classifier_dropout"]) == (
        "single_label_classification",
        0.5,
    )
    back = kg.GeneformerCellClassifier.from_preset(tmp_path / "checkpoint")
    assert without_names(back.get_config()) == without_names(model.get_config())


@pytest.mark.tensors
def test_bfloat16_goes_as_bfloat16(tmp_path):
    model = shaken(
        kg.GeneformerGeneClassifier(backbone(dtype="bfloat16", num_layers=1), num_classes=2)
    )
    export_to_transformers(model, tmp_path / "checkpoint")
    theirs = transformers.BertForTokenClassification.from_pretrained(tmp_path / "checkpoint")
    words = theirs.bert.embeddings.word_embeddings.weight
    assert words.dtype == torch.bfloat16
    view = published_view(model)
    np.testing.assert_array_equal(
        words.detach().float().numpy(),
        view.read("bert.embeddings.word_embeddings.weight").astype("float32"),
    )


def test_the_task_of_a_classifier_comes_back(tmp_path):
    for task in ("multi-label", "regression"):
        model = kg.GeneformerCellClassifier(backbone(), classes=["a", "b"], task=task)
        export_to_transformers(model, tmp_path / task)
        assert kg.GeneformerCellClassifier.from_preset(tmp_path / task).task == task


@pytest.mark.parametrize("pooling", ["shared_attention", "first"])
def test_a_multitask_model_comes_back(tmp_path, pooling):
    model = kg.GeneformerMultiTaskClassifier(
        backbone(),
        tasks={"type": ["B", "T", "NK"], "disease": ["no", "yes"]},
        pooling=pooling,
        pooler=False,
        head_dropout=0.4,
    )
    export_to_transformers(shaken(model), tmp_path / "checkpoint")
    back = kg.GeneformerMultiTaskClassifier.from_preset(tmp_path / "checkpoint")
    assert without_names(back.get_config()) == without_names(model.get_config())
    assert list(back.tasks) == ["type", "disease"]
    for one, other in zip(back.weights, model.weights, strict=True):
        assert np.array_equal(*map(keras.ops.convert_to_numpy, (one, other))), one.path
    keys = set(read_checkpoint(tmp_path / "checkpoint"))
    assert {"classification_heads.0.weight", "classification_heads.1.bias"} <= keys
    assert ("attention_pool.attention_weights" in keys) == (pooling == "shared_attention")


def test_shards_and_vocabulary(tmp_path):
    model, vocabulary = shaken(kg.GeneformerMaskedLM(backbone())), tiny_vocabulary()
    export_to_transformers(
        model, tmp_path / "checkpoint", vocabulary, vocabulary_files=True, max_shard_bytes=20_000
    )
    assert (tmp_path / "checkpoint" / "model.safetensors.index.json").is_file()
    assert kg.GeneVocabulary.load(tmp_path / "checkpoint").checksum == vocabulary.checksum
    _, received, expected = outputs(model, tmp_path / "checkpoint")
    np.testing.assert_allclose(received, expected, **TOLERANCE)


def test_what_cannot_go_is_named(tmp_path):
    def refused(model, message, **options):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            export_to_transformers(model, tmp_path / "checkpoint", **options)
        assert not list(tmp_path.iterdir())

    classes = {"classes": ["a", "b"]}
    refused(
        kg.GeneformerCellClassifier(backbone(), **classes, pooling="mean"),
        "This GeneformerCellClassifier has pooling='mean'; transformers' classifier reads the "
        "first token. Keep it as a preset, or fine-tune with pooling='first' or 'cls'.",
    )
    refused(
        kg.GeneformerGeneClassifier(backbone(), **classes, head_layers=1),
        "This GeneformerGeneClassifier has head_layers=1: encoder blocks of the head, which "
        "transformers' classifiers lack. Keep it as a preset, or fine-tune with head_layers=0.",
    )
    refused(
        kg.GeneformerCellClassifier(
            backbone(), classes=["dose"], task="regression", offsets=[2], scales=[1]
        ),
        "This GeneformerCellClassifier multiplies its scores by scales=[1.0] and adds "
        "offsets=[2.0], which transformers' classifier does not. Set model.scales to ones and "
        "model.offsets to zeros, convert, and do so to its scores yourself.",
    )
    refused(
        kg.GeneformerMultiTaskClassifier(backbone(), tasks={"a": ["no", "yes"]}, pooler=False),
        "This GeneformerMultiTaskClassifier has pooling='attention' and pooler=False; the "
        "published multi-task model has one pooling for all tasks and no layer with tanh. Keep it "
        "as a preset, or train one with pooling='shared_attention' or 'first' and pooler=False.",
    )
    adapted = backbone()
    kg.add_lora(adapted, rank=2)
    refused(
        adapted,
        "encoder_block_0/attention/query has an adapter, which a checkpoint for transformers has "
        "no place for. Call keras_geneformer.merge_lora(model) first.",
    )
    rounded = backbone()
    kg.quantize(rounded, "int8")
    for merged in (False, True):
        if merged:
            kg.merge_lora(rounded)  # the kernels are float again, the table of genes is not
        message = "^The GeneformerBackbone .* is quantized and cannot be held by a checkpoint for "
        with pytest.raises(ValueError, match=message):
            export_to_transformers(rounded, tmp_path / "checkpoint")
    refused(
        backbone(activation="tanh"),
        "Received a model of activation 'tanh'; a checkpoint for transformers can have relu, gelu, "
        "silu. Keep this model as a preset.",
    )
    refused(
        backbone(num_heads=3, head_dim=16),
        "This backbone has 3 attention heads of head_dim=16 in a hidden width of 32; transformers' "
        "heads have the width divided by their number. Keep it as a preset.",
    )
    refused(
        backbone(),
        "The files of a vocabulary are asked for, and there is none. Pass vocabulary=, or convert "
        "a preset that was saved with its vocabulary.",
        vocabulary_files=True,
    )
    with pytest.raises(ValueError, match=r"^Received a vocabulary of 124 tokens for a model of"):
        export_to_transformers(backbone(), tmp_path / "checkpoint", tiny_vocabulary(cls=True))
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced(tmp_path):
    export_to_transformers(backbone(), tmp_path / "checkpoint")
    before = (tmp_path / "checkpoint" / "model.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match=r"nothing was written\. Choose another name"):
        export_to_transformers(shaken(backbone()), tmp_path / "checkpoint")
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
