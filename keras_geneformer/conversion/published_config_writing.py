"""The config.json by which `transformers` loads a model of ours."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_geneformer.conversion.own_entries import own_entries, own_tasks
from keras_geneformer.conversion.published_config import ACTIVATIONS, PROBLEM_TYPES
from keras_geneformer.conversion.table import ARCHITECTURES

_ARCHITECTURES = {kind: name for name, kind in ARCHITECTURES.items()}


def published_config(
    arguments: Mapping[str, Any],
    kind: str,
    *,
    num_classes: int = 0,
    classes: Sequence[str] | None = None,
    task: str | None = None,
    tasks: Mapping[str, Sequence[str]] | None = None,
    head_dropout: float | None = None,
    pad_token_id: int | None = 0,
    dtype: str = "float32",
) -> dict[str, Any]:
    """The content of config.json.

    Args:
        arguments: of the backbone, by the names of `GeneformerBackbone`; heads and width of the
            feed-forward networks the same in all blocks.
        kind: the head, as in `checkpoint_table`.
        num_classes: of a classifier.
        classes: their names; `LABEL_0`, `LABEL_1` ... where None.
        task: of a cell classifier, as in `GeneformerCellClassifier`.
        tasks: of a multi-task model, the names of the classes of each task.
        head_dropout: rate before a classifier's last layer.
        pad_token_id: token id of padding; None where no token is padding.
        dtype: of the weights.

    Raises:
        ValueError: `transformers` has no such activation.

    Example:
        >>> from keras_geneformer.models.sizes import v1_10m
        >>> config = published_config(v1_10m(num_layers=1).get_config(), "masked_lm")
        >>> config["architectures"], config["hidden_size"], config["hidden_act"]
        (['BertForMaskedLM'], 256, 'relu')
    """
    config = {
        "architectures": [_ARCHITECTURES.get(kind, "GeneformerMultiTask")],
        "attention_probs_dropout_prob": arguments["attention_dropout"],
        "classifier_dropout": None,
        "hidden_act": _hidden_act(arguments["activation"]),
        "hidden_dropout_prob": arguments["dropout"],
        "hidden_size": arguments["hidden_dim"],
        "initializer_range": arguments["initializer_range"],
        "intermediate_size": arguments["intermediate_dim"],
        "layer_norm_eps": arguments["layer_norm_epsilon"],
        "max_position_embeddings": arguments["max_sequence_length"],
        "model_type": "bert",
        "num_attention_heads": arguments["num_heads"],
        "num_hidden_layers": arguments["num_layers"],
        "pad_token_id": pad_token_id,
        "position_embedding_type": "absolute",
        "torch_dtype": dtype,
        "type_vocab_size": arguments["num_segments"],
        "use_cache": True,
        "vocab_size": arguments["vocabulary_size"],
    }
    config |= own_entries(arguments)
    if num_classes:
        names = classes or [f"LABEL_{index}" for index in range(num_classes)]
        config["id2label"] = {str(index): name for index, name in enumerate(names)}
        config["label2id"] = {name: index for index, name in enumerate(names)}
    if tasks is not None:
        config |= own_tasks(tasks)
    if tasks is not None or (num_classes and head_dropout != arguments["dropout"]):
        config["classifier_dropout"] = head_dropout
    if task is not None:
        config["problem_type"] = PROBLEM_TYPES[task]
    return dict(sorted(config.items()))


def _hidden_act(activation: Any) -> str:
    names = {ours: theirs for theirs, ours in ACTIVATIONS.items()}
    if activation not in names:
        raise ValueError(
            f"Received a model of activation {activation!r}; a checkpoint for transformers can "
            f"have {', '.join(names)}. Keep this model as a preset."
        )
    return names[activation]
