import json
import re

import pytest

from keras_geneformer.conversion.published_config import (
    backbone_arguments,
    checkpoint_kind,
    class_names_of,
    number_of_classes,
    read_published_config,
)

V1 = {
    "architectures": ["BertForMaskedLM"],
    "attention_probs_dropout_prob": 0.02,
    "hidden_act": "relu",
    "hidden_dropout_prob": 0.02,
    "hidden_size": 256,
    "initializer_range": 0.02,
    "intermediate_size": 512,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 2048,
    "model_type": "bert",
    "num_attention_heads": 4,
    "num_hidden_layers": 6,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 25426,
}


@pytest.fixture
def written(tmp_path):
    def write(content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "config.json").write_text(text)
        return tmp_path

    return write


def test_the_published_config(written):
    config = read_published_config(written(V1))
    assert checkpoint_kind(config) == "masked_lm"
    assert backbone_arguments(config) == {
        "vocabulary_size": 25426,
        "num_layers": 6,
        "num_heads": 4,
        "hidden_dim": 256,
        "intermediate_dim": 512,
        "max_sequence_length": 2048,
        "dropout": 0.02,
        "attention_dropout": 0.02,
        "activation": "relu",
        "layer_norm_epsilon": 1e-12,
        "num_segments": 2,
        "initializer_range": 0.02,
        "special_token_ids": (0, 1),
    }


@pytest.mark.parametrize(
    ("size", "positions", "special"),
    [
        (25426, 2048, (0, 1)),
        (20275, 4096, (0, 1, 2, 3)),
        (20275, 2048, (0, 1, 2, 3)),
        (900, 2048, (0, 1)),
        (900, 4096, (0, 1, 2, 3)),
    ],
)
def test_special_tokens_by_the_published_sizes(size, positions, special):
    config = V1 | {"vocab_size": size, "max_position_embeddings": positions}
    assert backbone_arguments(config)["special_token_ids"] == special


def test_defaults_are_those_of_transformers(written):
    left_out = {"hidden_dropout_prob", "attention_probs_dropout_prob", "layer_norm_eps"}
    config = {key: value for key, value in V1.items() if key not in left_out}
    arguments = backbone_arguments(read_published_config(written(config)))
    assert (arguments["dropout"], arguments["attention_dropout"]) == (0.1, 0.1)
    assert arguments["layer_norm_epsilon"] == 1e-12


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r" is not valid JSON \(.*\)\. Download it again\."),
        ([1], r": received model_type 'list'; expected 'bert', which Geneformer checkpoints are\."),
        (
            V1 | {"model_type": "roberta"},
            r": received model_type 'roberta'; expected 'bert', which Geneformer checkpoints are\. "
            r"Is this the checkpoint of another model\?$",
        ),
        (
            {k: v for k, v in V1.items() if k not in ("vocab_size", "hidden_act")},
            r" lacks hidden_act, vocab_size\. Download it again\.$",
        ),
        (
            V1 | {"hidden_act": "gelu_new"},
            r": received hidden_act 'gelu_new'; expected one of relu, gelu, silu \(Geneformer uses "
            r"relu\)\. Loading it as another activation would give wrong results without a sign\.$",
        ),
        (
            V1 | {"position_embedding_type": "relative_key"},
            r": received position_embedding_type 'relative_key'; expected 'absolute'\.$",
        ),
        (
            V1 | {"is_decoder": True},
            r": received is_decoder True; expected an encoder, in which every gene attends to all "
            r"others\.$",
        ),
    ],
)
def test_other_models_are_refused(written, content, message):
    directory = written(content)
    path = re.escape(str(directory / "config.json"))
    with pytest.raises(ValueError, match=f"^{path}{message}"):
        read_published_config(directory)


def test_missing_config(tmp_path):
    message = (
        f"{tmp_path / 'config.json'} is missing. A published checkpoint is a directory with "
        "config.json and model.safetensors or pytorch_model.bin; one of ours has preset.json."
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        read_published_config(tmp_path)


@pytest.mark.parametrize("names", [[], None, ["BertForNextSentencePrediction"]])
def test_other_architectures_are_refused(names):
    message = (
        rf"^Received a checkpoint of architectures {re.escape(str(names or []))}; expected one of "
        r"BertModel, BertForMaskedLM, BertForSequenceClassification, "
        r"BertForTokenClassification\.$"
    )
    with pytest.raises(ValueError, match=message):
        checkpoint_kind({"architectures": names})


def test_classes():
    named = {"id2label": {str(i): name for i, name in enumerate("abcdefghijk")}}
    assert class_names_of(named) == list("abcdefghijk")
    assert number_of_classes(named) == 11
    numbered = {"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}}
    assert class_names_of(numbered) is None
    assert number_of_classes(numbered) == 3
    assert (class_names_of({}), number_of_classes({})) == (None, 2)
