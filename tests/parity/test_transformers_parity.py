"""Checkpoints of the published V1 shape, made by `transformers`, give its outputs here."""

import keras
import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.conversion.assignment import assign_checkpoint, export_checkpoint
from keras_geneformer.conversion.checkpoint_files import read_checkpoint
from keras_geneformer.conversion.table import TIED_KEYS, checkpoint_table

pytestmark = pytest.mark.tensors

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}
POSITIONS = [0, 3, 5, 11]
"""Where the masked LM is scored; the first three are real in both cells."""

V1_10M = {
    "vocab_size": 25_426,
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "hidden_act": "relu",
    "max_position_embeddings": 2048,
    "hidden_dropout_prob": 0.02,
    "attention_probs_dropout_prob": 0.02,
}
HEADS = {
    "BertForMaskedLM": (kg.GeneformerMaskedLM, "masked_lm", {}),
    "BertForSequenceClassification": (
        kg.GeneformerCellClassifier,
        "cell_classifier",
        {"num_labels": 3, "id2label": {0: "B", 1: "T", 2: "NK"}},
    ),
    "BertForTokenClassification": (kg.GeneformerGeneClassifier, "gene_classifier", {}),
}


def random_model(architecture, **config):
    """A `transformers` model in which every tensor, biases and `<pad>` too, has its say."""
    torch.manual_seed(11)
    model = getattr(transformers, architecture)(transformers.BertConfig(**config))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            one = name.endswith("LayerNorm.weight")
            parameter.copy_(0.07 * torch.randn(parameter.shape) + (1.0 if one else 0.0))
    return model.eval()


def cells(size, length=96):
    """Two cells, one of them padded with token ids that are not 0."""
    token_ids = np.random.default_rng(5).integers(2, size, (2, length)).astype("int32")
    padding_mask = np.ones_like(token_ids)
    padding_mask[1, length // 3 :] = 0
    return token_ids, padding_mask


def published_outputs(model, token_ids, padding_mask):
    with torch.no_grad():
        output = model(
            input_ids=torch.from_numpy(token_ids).long(),
            attention_mask=torch.from_numpy(padding_mask).long(),
            output_hidden_states=True,
        )
    return output.logits.numpy(), [state.numpy() for state in output.hidden_states]


def our_inputs(model, token_ids, padding_mask):
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    if isinstance(model, kg.GeneformerMaskedLM):
        inputs["mask_positions"] = np.array([POSITIONS] * len(token_ids), "int32")
    return inputs


def compare(model, received, logits, padding_mask):
    """Scores at the real positions, or of the cells."""
    if isinstance(model, kg.GeneformerMaskedLM):
        logits, padding_mask = logits[:, POSITIONS], padding_mask[:, POSITIONS]
    real = padding_mask.astype(bool) if logits.ndim == 3 else slice(None)
    np.testing.assert_allclose(received[real], logits[real], **TOLERANCE)
    assert logits.std() > 0.05


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.fixture(scope="module", params=HEADS)
def case(request, tmp_path_factory):
    cls, kind, head = HEADS[request.param]
    theirs = random_model(request.param, **V1_10M, **head)
    directory = tmp_path_factory.mktemp(request.param)
    theirs.save_pretrained(directory)
    assert (directory / "model.safetensors").is_file()
    return theirs, cls.from_preset(directory), directory, checkpoint_table(6, kind)


def test_outputs(case):
    theirs, ours, _, _ = case
    token_ids, padding_mask = cells(25_426)
    logits, states = published_outputs(theirs, token_ids, padding_mask)
    received = numpy(ours(our_inputs(ours, token_ids, padding_mask)))
    compare(ours, received, logits, padding_mask)
    if isinstance(ours, kg.GeneformerMaskedLM):
        real = padding_mask.astype(bool)
        for layer in (0, 1, -2, -1):
            model = ours.backbone.hidden_state_model(layer)
            state = numpy(model({"token_ids": token_ids, "padding_mask": padding_mask}))
            np.testing.assert_allclose(state[real], states[layer][real], **TOLERANCE)


def test_class_names(case):
    _, ours, _, _ = case
    if isinstance(ours, kg.GeneformerCellClassifier):
        assert ours.classes == ["B", "T", "NK"]
    elif isinstance(ours, kg.GeneformerGeneClassifier):
        assert (ours.classes, ours.num_classes) == (None, 2)


@pytest.mark.parametrize("position_ids", [False, True])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_there_and_back_bit_for_bit(case, tmp_path, name, position_ids):
    theirs, ours, directory, table = case
    state = dict(theirs.state_dict())
    state.pop("bert.embeddings.position_ids", None)
    if position_ids:
        state["bert.embeddings.position_ids"] = torch.arange(2048)[None]
    if name == "pytorch_model.bin":
        torch.save(state, tmp_path / name)
    else:
        from safetensors.torch import save_file

        stored = read_checkpoint(directory)
        save_file(
            {key: state[key] for key in state if key in stored or "_ids" in key}, tmp_path / name
        )
    read = read_checkpoint(tmp_path)
    assert ("bert.embeddings.position_ids" in read) == position_ids
    for variable in ours.weights:
        variable.assign(np.zeros(variable.shape, "float32"))
    assign_checkpoint(read, ours.weights, table)
    exported = export_checkpoint(ours.weights, table)
    for key, tensor in state.items():
        if key != "bert.embeddings.position_ids":
            assert exported[TIED_KEYS.get(key, key)].tobytes() == tensor.numpy().tobytes(), key


def test_pytorch_takes_it_back(case):
    theirs, ours, _, table = case
    exported = export_checkpoint(ours.weights, table)
    again = type(theirs)(theirs.config)
    result = again.load_state_dict(
        {key: torch.from_numpy(value) for key, value in exported.items()}, strict=False
    )
    assert not result.unexpected_keys
    assert set(result.missing_keys) <= TIED_KEYS.keys()
    again.tie_weights()
    for key, tensor in again.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[key]), key


@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_other_activations(tmp_path, activation):
    small = {
        "vocab_size": 60,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 16,
        "hidden_act": activation,
    }
    theirs = random_model("BertForMaskedLM", **small)
    with torch.no_grad():
        # Far from zero, where the approximations of gelu differ from it.
        theirs.bert.encoder.layer[0].intermediate.dense.weight.mul_(10)
    theirs.save_pretrained(tmp_path)
    ours = kg.GeneformerMaskedLM.from_preset(tmp_path)
    token_ids, padding_mask = cells(60, length=12)
    logits, _ = published_outputs(theirs, token_ids, padding_mask)
    received = numpy(ours(our_inputs(ours, token_ids, padding_mask)))
    compare(ours, received, logits, padding_mask)
