"""Every published shape against `transformers`: its parameters, and small models of its kind."""

import json
import math

import keras
import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.conversion.assignment import refuse_other_shapes
from keras_geneformer.conversion.published_config import (
    backbone_arguments,
    checkpoint_kind,
    number_of_classes,
    read_published_config,
)
from keras_geneformer.conversion.table import (
    IGNORED_KEYS,
    TIED_KEYS,
    checkpoint_shapes,
    checkpoint_table,
)
from keras_geneformer.models import sizes

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

PARAMETERS = {
    "v1_10m": 10_288_722,
    "v2_104m": 104_386_867,
    "v2_316m": 316_354_867,
    "v1_12l_30m": 39_591_250,
    "v2_12l_95m": 37_997_363,
    "v2_20l_95m": 151_313_459,
}
CONFIGS = (
    "Geneformer-V1-10M",
    "Geneformer-V1-10M_CellClassifier_cardiomyopathies_220224",
    "Geneformer-V2-104M",
    "Geneformer-V2-104M_CLcancer",
    "Geneformer-V2-316M",
)


def their_shapes(config):
    """What `transformers` makes of a config, without its numbers."""
    with torch.device("meta"):
        model = getattr(transformers, config.architectures[0])(config)
    return {
        key: tuple(value.shape)
        for key, value in model.state_dict().items()
        if key not in IGNORED_KEYS | TIED_KEYS.keys()
    }


@pytest.mark.parametrize("size", PARAMETERS)
def test_parameters_of_each_size(size):
    arguments = {"num_segments": 2, **sizes.SIZES[size]}
    rows = checkpoint_table(arguments["num_layers"], "masked_lm")
    ours = checkpoint_shapes(arguments, rows, 0)
    config = transformers.BertConfig(
        architectures=["BertForMaskedLM"],
        vocab_size=arguments["vocabulary_size"],
        hidden_size=arguments["hidden_dim"],
        num_hidden_layers=arguments["num_layers"],
        num_attention_heads=arguments["num_heads"],
        intermediate_size=arguments["intermediate_dim"],
        max_position_embeddings=arguments["max_sequence_length"],
    )
    assert ours == their_shapes(config)
    assert sum(map(math.prod, ours.values())) == PARAMETERS[size]
    assert getattr(sizes, size).__name__ == size


@pytest.fixture
def published(shared, tmp_path):
    """A directory with a published config.json, with changes."""

    def copy(name, **changes):
        path = shared / "data" / "checkpoints" / f"{name}.config.json"
        config = json.loads(path.read_text()) | changes
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return copy


@pytest.mark.parametrize("name", CONFIGS)
def test_shapes_of_each_published_config(published, name):
    directory = published(name)
    config = read_published_config(directory)
    kind = checkpoint_kind(config)
    rows = checkpoint_table(config["num_hidden_layers"], kind)
    scores = number_of_classes(config)
    theirs = their_shapes(transformers.BertConfig.from_pretrained(directory))
    expected = checkpoint_shapes(backbone_arguments(config), rows, scores)
    refuse_other_shapes(theirs, rows, expected)


SMALL = {"vocab_size": 50, "max_position_embeddings": 16}
"""Tables of the published lengths would say nothing more of the layers."""


@pytest.mark.parametrize(("name", "width"), [("Geneformer-V2-316M", 4), (CONFIGS[1], 8)])
def test_small_models_with_the_layers_and_heads_of_published_ones(published, name, width):
    heads = json.loads((published(name) / "config.json").read_text())["num_attention_heads"]
    sized = {"hidden_size": heads * width, "intermediate_size": heads * width * 2}
    directory = published(name, **SMALL, **sized)
    config = transformers.BertConfig.from_pretrained(directory)
    torch.manual_seed(7)
    theirs = getattr(transformers, config.architectures[0])(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    theirs.save_pretrained(directory)
    token_ids = np.random.default_rng(1).integers(2, 50, (2, 9)).astype("int32")
    padding_mask = np.array([[1] * 9, [1] * 4 + [0] * 5], "int32")
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    with torch.no_grad():
        tokens, mask = (torch.from_numpy(array).long() for array in inputs.values())
        logits = theirs(input_ids=tokens, attention_mask=mask).logits.numpy()
    if config.architectures[0] == "BertForMaskedLM":
        ours = kg.GeneformerMaskedLM.from_preset(directory)
        inputs["mask_positions"] = np.arange(9, dtype="int32")[None].repeat(2, 0)
        real = padding_mask.astype(bool)
    else:
        ours = kg.GeneformerCellClassifier.from_preset(directory)
        real = slice(None)
    received = keras.ops.convert_to_numpy(ours(inputs))
    np.testing.assert_allclose(received[real], logits[real], atol=5e-5, rtol=1e-4)
    assert logits.std() > 0.05
