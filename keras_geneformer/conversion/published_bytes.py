"""How large the file of a published checkpoint is, told from its shape alone."""

from collections.abc import Mapping
from typing import Any

from keras_geneformer.conversion.safetensors_writing import file_bytes, tensor_of
from keras_geneformer.conversion.table import checkpoint_shapes, checkpoint_table

POSITION_IDS = "bert.embeddings.position_ids"
"""A buffer of 0, 1, 2 ... that `transformers` wrote until 4.31: the published V1 file holds it."""


def published_bytes(
    arguments: Mapping[str, Any],
    kind: str = "masked_lm",
    scores: int = 0,
    position_ids: bool = False,
) -> int:
    """The size of the model.safetensors of a checkpoint, in bytes.

    That it is right for the published files, to the byte, says that our table has their keys and
    shapes.

    Args:
        arguments: of the backbone, by the names of `GeneformerBackbone`.
        kind: the head, as in `checkpoint_table`.
        scores: outputs of the last layer of a classifier.
        position_ids: whether the file holds the buffer of positions.

    Example:
        >>> from keras_geneformer.models.sizes import SIZES
        >>> published_bytes(SIZES["v1_10m"], position_ids=True)
        41183536
    """
    rows = checkpoint_table(arguments["num_layers"], kind)
    shapes = checkpoint_shapes({"num_segments": 2, **arguments}, rows, scores)
    tensors = {key: tensor_of("float32", shape) for key, shape in shapes.items()}
    if position_ids:
        tensors[POSITION_IDS] = tensor_of("int64", (1, arguments["max_sequence_length"]))
    return file_bytes(tensors)
