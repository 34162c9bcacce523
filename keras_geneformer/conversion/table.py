"""The one table that says where each tensor of a published checkpoint lives in a Keras model.

The published checkpoints are `transformers` BERT models. A row names the PyTorch key, the path of
the Keras variable, and whether the tensor is transposed (PyTorch keeps the kernel of a linear layer
as outputs x inputs, Keras as inputs x outputs).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One tensor: its PyTorch key, its Keras variable path, and whether it is transposed."""

    key: str
    path: str
    transposed: bool = False


Shapes = dict[str, tuple[int, ...]]

ARCHITECTURES = {
    "BertModel": "backbone",
    "BertForMaskedLM": "masked_lm",
    "BertForSequenceClassification": "cell_classifier",
    "BertForTokenClassification": "gene_classifier",
}
"""Kinds of head, by the name that `config.json` gives the architecture."""

IGNORED_KEYS = {"bert.embeddings.position_ids"}
"""Buffers that hold no weights: 0, 1, 2 ..., written by older versions of transformers."""

UNUSED_KEYS = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
"""What `BertModel` adds and nothing above it uses: not in a bare one, nor in a multi-task one."""

KINDS_WITHOUT_POOLER = ("backbone", "multitask", "multitask_attention")
"""Kinds whose checkpoints may hold `UNUSED_KEYS`; they are left out."""

TIED_KEYS = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
"""Second names of tensors that `pytorch_model.bin` repeats; they must equal the first."""


def checkpoint_table(num_layers: int, kind: str, num_tasks: int = 0) -> list[Row]:
    """The rows of a checkpoint.

    Args:
        num_layers: encoder blocks.
        kind: the head: `"masked_lm"`, `"cell_classifier"` or `"gene_classifier"`, or `"backbone"`
            for none; of the published multi-task model, `"multitask"` or, with its attention
            pooling, `"multitask_attention"`.
        num_tasks: heads of a multi-task model.

    Returns:
        Every row once, in the order of the forward pass.
    """
    rows = [
        Row("bert.embeddings.word_embeddings.weight", "embeddings/token_embedding/embeddings"),
        Row("bert.embeddings.position_embeddings.weight", "embeddings/position_table"),
        Row("bert.embeddings.token_type_embeddings.weight", "embeddings/segment_table"),
        *_normalization("bert.embeddings.LayerNorm", "embeddings/normalization"),
    ]
    for index in range(num_layers):
        old, new = f"bert.encoder.layer.{index}", f"encoder_block_{index}"
        rows += [
            *_dense(f"{old}.attention.self.query", f"{new}/attention/query"),
            *_dense(f"{old}.attention.self.key", f"{new}/attention/key"),
            *_dense(f"{old}.attention.self.value", f"{new}/attention/value"),
            *_dense(f"{old}.attention.output.dense", f"{new}/attention/output_projection"),
            *_normalization(f"{old}.attention.output.LayerNorm", f"{new}/attention_normalization"),
            *_dense(f"{old}.intermediate.dense", f"{new}/intermediate"),
            *_dense(f"{old}.output.dense", f"{new}/output_projection"),
            *_normalization(f"{old}.output.LayerNorm", f"{new}/output_normalization"),
        ]
    for task in range(num_tasks):
        rows += _dense(f"classification_heads.{task}", f"task_{task}_scores")
    return rows + _HEADS[kind]


def checkpoint_shapes(
    arguments: Mapping[str, Any], rows: Iterable[Row], scores: int | Sequence[int]
) -> Shapes:
    """The shape of each of a checkpoint's tensors, as PyTorch keeps it.

    Args:
        arguments: of the backbone, by the names of `GeneformerBackbone`.
        rows: as from `checkpoint_table`.
        scores: outputs of the last layer of a classifier, or of each task's; not used for other
            kinds.

    Returns:
        PyTorch key to shape, in the order of the rows.

    Example:
        >>> arguments = {"vocabulary_size": 9, "hidden_dim": 4, "intermediate_dim": 6,
        ...              "max_sequence_length": 5, "num_segments": 2}
        >>> checkpoint_shapes(arguments, checkpoint_table(1, "cell_classifier"), 3)[
        ...     "classifier.weight"]
        (3, 4)
    """
    width, inner = arguments["hidden_dim"], arguments["intermediate_dim"]
    special = {
        "bert.embeddings.word_embeddings.weight": (arguments["vocabulary_size"], width),
        "bert.embeddings.position_embeddings.weight": (arguments["max_sequence_length"], width),
        "bert.embeddings.token_type_embeddings.weight": (arguments["num_segments"], width),
        "cls.predictions.bias": (arguments["vocabulary_size"],),
        "attention_pool.attention_weights": (width, 1),
    }
    if isinstance(scores, int):
        special |= {"classifier.weight": (scores, width), "classifier.bias": (scores,)}
    else:
        for task, number in enumerate(scores):
            special[f"classification_heads.{task}.weight"] = (number, width)
            special[f"classification_heads.{task}.bias"] = (number,)

    def shape(row: Row) -> tuple[int, ...]:
        if row.key in special:
            return special[row.key]
        if row.key.endswith("intermediate.dense.weight"):
            return (inner, width)
        if row.key.endswith("intermediate.dense.bias"):
            return (inner,)
        if ".attention." not in row.key and row.key.endswith("output.dense.weight"):
            return (width, inner)
        return (width, width) if row.transposed else (width,)

    return {row.key: shape(row) for row in rows}


def _dense(key: str, path: str) -> list[Row]:
    return [Row(f"{key}.weight", f"{path}/kernel", True), Row(f"{key}.bias", f"{path}/bias")]


def _normalization(key: str, path: str) -> list[Row]:
    return [Row(f"{key}.weight", f"{path}/gamma"), Row(f"{key}.bias", f"{path}/beta")]


_HEADS: dict[str, list[Row]] = {
    "backbone": [],
    "masked_lm": [
        *_dense("cls.predictions.transform.dense", "masked_lm_head/dense"),
        *_normalization("cls.predictions.transform.LayerNorm", "masked_lm_head/normalization"),
        Row("cls.predictions.bias", "masked_lm_head/bias"),
    ],
    "cell_classifier": [*_dense("bert.pooler.dense", "pooler"), *_dense("classifier", "scores")],
    "gene_classifier": _dense("classifier", "scores"),
    "multitask": [],
    "multitask_attention": [Row("attention_pool.attention_weights", "pooling/attention_weights")],
}
