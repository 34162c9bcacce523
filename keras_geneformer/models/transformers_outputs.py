"""Hidden states and scores of a checkpoint, computed by us and by `transformers`."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_geneformer.models.backbone_of import backbone_of

MODELS = {
    "masked_lm": "BertForMaskedLM",
    "cell_classifier": "BertForSequenceClassification",
    "gene_classifier": "BertForTokenClassification",
}
"""Classes of `transformers`, by kinds of checkpoint; `BertModel` for any other."""

_LONGEST = 96


class Outputs(NamedTuple):
    """What a model makes of cells, at real tokens alone.

    Attributes:
        states: hidden states after 0, 1 ... all encoder blocks, each of shape `(tokens, width)`.
        scores: of a head, of shape `(tokens or cells, scores)`; None where there is none to
            compare.
    """

    states: list[np.ndarray]
    scores: np.ndarray | None


def has_transformers() -> bool:
    """Whether `transformers` and PyTorch are installed."""
    return all(importlib.util.find_spec(name) for name in ("torch", "transformers"))


def cells_like_real_ones(backbone: Any, seed: int = 0) -> dict[str, np.ndarray]:
    """Four cells of distinct genes, as the tokenizer makes them, three of them padded.

    Returns:
        `token_ids` and `padding_mask`, int32 of shape `(4, length)`.
    """
    special = list(backbone.special_token_ids)
    genes = np.setdiff1d(np.arange(backbone.vocabulary_size), special)
    length = min(_LONGEST, backbone.max_sequence_length, len(genes))
    token_ids = np.zeros((4, length), "int32")
    padding_mask = np.zeros((4, length), "int32")
    rng = np.random.default_rng(seed)
    for row, share in enumerate((1, 0.6, 0.3, 0.05)):
        tokens = rng.choice(genes, max(1, int(share * length)), replace=False)
        if len(special) >= 4 and len(tokens) > 2:
            tokens[0], tokens[-1] = special[2], special[3]  # <cls> and <eos>
        token_ids[row, : len(tokens)] = tokens
        padding_mask[row, : len(tokens)] = 1
    return {"token_ids": token_ids, "padding_mask": padding_mask}


def our_outputs(model: Any, cells: dict[str, np.ndarray]) -> Outputs:
    """Hidden states and scores of a model of ours."""
    backbone = backbone_of(model)
    names = ["embeddings", *(f"encoder_block_{index}" for index in range(backbone.num_layers))]
    layers = keras.Model(backbone.input, [backbone.get_layer(name).output for name in names])
    states = [keras.ops.convert_to_numpy(state) for state in layers(cells)]
    scores = None
    if _class_of(model) == "GeneformerMaskedLM":
        length = cells["token_ids"].shape[1]
        everywhere = np.tile(np.arange(length, dtype="int32"), (len(cells["token_ids"]), 1))
        scores = model({**cells, "mask_positions": everywhere})
    elif _class_of(model).endswith(("CellClassifier", "GeneClassifier")):
        scores = model(cells)
    return _at_real_tokens(
        states, None if scores is None else keras.ops.convert_to_numpy(scores), cells
    )


def transformers_outputs(
    directory: Path, kind: str, cells: dict[str, np.ndarray]
) -> tuple[Outputs, list[str]]:
    """Hidden states and scores of a checkpoint, by `transformers`.

    Returns:
        The outputs; and the weights that `transformers` did not find, and made up.
    """
    import torch
    import transformers

    name = MODELS.get(kind, "BertModel")
    options = {} if kind in MODELS else {"add_pooling_layer": False}
    with _quiet(transformers):
        model, loading = getattr(transformers, name).from_pretrained(
            directory, output_loading_info=True, local_files_only=True, **options
        )
    with torch.no_grad():
        answer = model.float().eval()(
            input_ids=torch.from_numpy(cells["token_ids"]).long(),
            attention_mask=torch.from_numpy(cells["padding_mask"]).long(),
            output_hidden_states=True,
        )
    states = [state.numpy() for state in answer.hidden_states]
    scores = answer.logits.numpy() if kind in MODELS else None
    lacking = [*loading["missing_keys"], *map(str, loading["mismatched_keys"])]
    return _at_real_tokens(states, scores, cells), sorted(lacking)


def _at_real_tokens(
    states: list[np.ndarray], scores: np.ndarray | None, cells: dict[str, np.ndarray]
) -> Outputs:
    real = cells["padding_mask"].astype(bool)
    if scores is not None and scores.ndim == 3:
        scores = scores[real]
    return Outputs([state[real] for state in states], scores)


def _class_of(model: Any) -> str:
    return type(model).__name__


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without the progress bars and the notes of `transformers`; as they were afterwards."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
