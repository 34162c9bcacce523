"""Adapters of the `peft` package: in, out, and what is refused."""

import json
import os
import pickle
import re

import keras
import numpy as np
import peft
import pytest
import torch
import transformers

import keras_geneformer as kg
from keras_geneformer.compression.adapter_files import load_adapters, save_adapters
from keras_geneformer.compression.lora import adapted_layers, add_lora
from keras_geneformer.testing import tiny_backbone

CONFIG = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "hidden_act": "relu",
    "max_position_embeddings": 16,
}
TOKENS = np.array([[7, 9, 21, 3, 5], [8, 33, 2, 0, 0]], "int32")
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], "int32")


def filled(model):
    """Every weight that learns its say, the zeros of B too."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in filter(lambda one: one.requires_grad, model.parameters()):
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return model.eval()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    directory = tmp_path_factory.mktemp("base")
    config = transformers.BertConfig(**CONFIG, num_labels=3)
    filled(transformers.BertForSequenceClassification(config)).save_pretrained(directory)
    return directory


def their_base(directory):
    return transformers.BertForSequenceClassification.from_pretrained(directory).eval()


def their_logits(model):
    with torch.no_grad():
        tokens, mask = torch.from_numpy(TOKENS).long(), torch.from_numpy(MASK).long()
        return model(input_ids=tokens, attention_mask=mask).logits.numpy()


def our_logits(model):
    scores = model({"token_ids": TOKENS, "padding_mask": MASK})
    return keras.ops.convert_to_numpy(scores)


def saved(base, directory, **options):
    """A directory of peft's own making, and the logits of its model."""
    settings = {"task_type": "SEQ_CLS", "r": 4, "lora_alpha": 12, "target_modules": ["query"]}
    model = peft.get_peft_model(their_base(base), peft.LoraConfig(**settings | options))
    filled(model).save_pretrained(directory)
    return their_logits(model)


@pytest.mark.tensors
def test_peft_into_keras_and_back(base, tmp_path):
    theirs = saved(base, tmp_path / "in", target_modules=["query", "output.dense"], use_rslora=True)
    ours = kg.GeneformerCellClassifier.from_preset(base)
    untouched = our_logits(ours)
    load_adapters(ours, tmp_path / "in")
    np.testing.assert_allclose(our_logits(ours), theirs, atol=2e-5)
    assert np.abs(theirs - untouched).max() > 0.05
    assert {variable.path.split("/")[0] for variable in ours.trainable_variables} == {
        *("encoder_block_0", "encoder_block_1", "scores")
    }
    with pytest.raises(ValueError, match=r"has an adapter already\. Merge it first \(merge_lora\)"):
        load_adapters(ours, tmp_path / "in")

    save_adapters(ours, tmp_path / "out", format="peft", base=base)
    back = peft.PeftModel.from_pretrained(their_base(base), tmp_path / "out").eval()
    np.testing.assert_allclose(their_logits(back), theirs, atol=2e-5)
    # The directory names its base: it is a model by itself.
    alone = kg.GeneformerCellClassifier.from_preset(tmp_path / "out")
    assert not adapted_layers(alone)
    np.testing.assert_allclose(our_logits(alone), theirs, atol=2e-5)


def test_ranks_and_alphas_by_layer_there_and_back(base, tmp_path):
    theirs = saved(
        base,
        tmp_path / "in",
        target_modules=["query", "value"],
        rank_pattern={"layer.1.attention.self.query": 2},
        alpha_pattern={"layer.0.attention.self.value": 3},
    )
    ours = kg.GeneformerCellClassifier.from_preset(base)
    load_adapters(ours, tmp_path / "in")
    np.testing.assert_allclose(our_logits(ours), theirs, atol=2e-5)
    kinds = {path: (one.lora_rank, one.lora_alpha) for path, one in adapted_layers(ours).items()}
    assert kinds == {
        "encoder_block_0/attention/query": (4, 12),
        "encoder_block_0/attention/value": (4, 3),
        "encoder_block_1/attention/query": (2, 12),
        "encoder_block_1/attention/value": (4, 12),
    }
    save_adapters(ours, tmp_path / "out", format="peft")
    back = peft.PeftModel.from_pretrained(their_base(base), tmp_path / "out").eval()
    np.testing.assert_allclose(their_logits(back), theirs, atol=2e-5)


def test_a_bare_bert_and_a_file_of_torch(tmp_path):
    torch.manual_seed(5)
    bert = filled(transformers.BertModel(transformers.BertConfig(**CONFIG)))
    bert.save_pretrained(tmp_path / "base")
    model = peft.get_peft_model(bert, peft.LoraConfig(r=2, target_modules=["key"]))
    model.peft_config["default"].base_model_name_or_path = "../base"
    filled(model).save_pretrained(tmp_path / "in", safe_serialization=False)
    assert (tmp_path / "in" / "adapter_model.bin").is_file()
    backbone = kg.GeneformerBackbone.from_preset(tmp_path / "in")
    with torch.no_grad():
        tokens, mask = torch.from_numpy(TOKENS).long(), torch.from_numpy(MASK).long()
        theirs = model(input_ids=tokens, attention_mask=mask).last_hidden_state.numpy()
    real = MASK.astype(bool)
    np.testing.assert_allclose(our_logits(backbone)[real], theirs[real], atol=2e-5)
    add_lora(backbone, 2)
    save_adapters(backbone, tmp_path / "out", format="peft")
    again = peft.PeftModel.from_pretrained(
        transformers.BertModel.from_pretrained(tmp_path / "base"), tmp_path / "out"
    )
    assert len([name for name, _ in again.named_parameters() if "lora_A" in name]) == 4


@pytest.mark.parametrize(
    ("task", "cls"),
    [("TOKEN_CLS", kg.GeneformerGeneClassifier), ("SEQ_CLS", kg.GeneformerCellClassifier)],
)
def test_a_head_on_a_base_without_one(tmp_path, task, cls):
    config = transformers.BertConfig(**CONFIG, num_labels=3)
    filled(transformers.BertForMaskedLM(config)).save_pretrained(tmp_path / "base")
    architecture = {
        "TOKEN_CLS": transformers.BertForTokenClassification,
        "SEQ_CLS": transformers.BertForSequenceClassification,
    }[task]
    model = peft.get_peft_model(
        architecture.from_pretrained(tmp_path / "base", num_labels=3),
        peft.LoraConfig(task_type=task, r=2, target_modules=["query"]),
    )
    filled(model).save_pretrained(tmp_path / "in")
    if task == "SEQ_CLS":
        with pytest.raises(ValueError, match=r"the pooler below it, which was random then and is"):
            cls.from_preset(tmp_path / "in")
        return
    ours = cls.from_preset(tmp_path / "in")
    real = MASK.astype(bool)
    np.testing.assert_allclose(our_logits(ours)[real], their_logits(model)[real], atol=2e-5)


@pytest.fixture
def adapters(base, tmp_path):
    saved(base, tmp_path / "in")
    return tmp_path / "in"


def refused(directory, message, **changes):
    path = directory / "adapter_config.json"
    kept = path.read_text()
    path.write_text(json.dumps(json.loads(kept) | changes))
    with pytest.raises(ValueError, match=message):
        kg.GeneformerBackbone.from_preset(directory)
    path.write_text(kept)


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"use_dora": True}, "use_dora=True"),
        ({"bias": "all"}, "bias='all'"),
        ({"peft_type": "ADALORA"}, "peft_type='ADALORA'"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out=True"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'"),
        ({"a_new_kind": {"x": 1}, "lora_bias": True}, "a_new_kind={'x': 1}, lora_bias=True"),
    ],
)
def test_what_keras_does_not_do_is_refused_by_name(adapters, changes, asked):
    message = (
        f"{adapters / 'adapter_config.json'} asks for {asked}, which is not understood here. Merge "
        "the adapters with peft (merge_and_unload), save the model and load that."
    )
    refused(adapters, f"^{re.escape(message)}$", **changes)


def test_damaged_adapters_are_refused(base, adapters, tmp_path):
    refused(adapters, r"received lora_alpha=-1, base_model_name_or_path=", lora_alpha=-1)
    refused(adapters, r"expected names of layers and numbers", alpha_pattern={"(a+)+": 1})
    message = (
        f"The adapters in {adapters} stand beside 'org/model', which is no directory of a model "
        "here. Load the base first, then the adapters into it: keras_geneformer.load_adapters("
        "model, directory)."
    )
    refused(adapters, f"^{re.escape(message)}$", base_model_name_or_path="org/model")
    other = tiny_backbone()
    with pytest.raises(ValueError, match=r"belong to another model: they want encoder_block_0/att"):
        load_adapters(other, adapters)
    assert not adapted_layers(other)
    (adapters / "adapter_model.safetensors").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"no adapter_model\.safetensors or adapter_model\."
    ):
        load_adapters(other, adapters)

    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (adapters / "adapter_model.bin").write_bytes(pickle.dumps({"x": Attack()}))
    with pytest.raises(ValueError, match="Python objects, which are never executed here"):
        load_adapters(other, adapters)
    assert not (tmp_path / "ran").exists()


def test_heads_that_transformers_lacks_do_not_go_to_peft(tmp_path):
    backbone = tiny_backbone()
    add_lora(backbone, 2)
    mean = kg.GeneformerCellClassifier(backbone, classes="ab", pooling="mean")
    many = kg.GeneformerMultiTaskClassifier(backbone, {"sex": "fm"})
    for model, lacks in ((mean, r"pooling='mean'"), (many, "task_0_pooler")):
        with pytest.raises(ValueError, match=f"^transformers has no {lacks}, so peft cannot take"):
            save_adapters(model, tmp_path / "out", format="peft")
    with pytest.raises(ValueError, match=r"^Received format='hf'; expected one of keras_geneform"):
        save_adapters(mean, tmp_path / "out", format="hf")
    assert not list(tmp_path.iterdir())
