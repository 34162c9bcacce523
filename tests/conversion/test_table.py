import json
import struct
from collections import Counter

import pytest

from keras_geneformer.conversion.table import ARCHITECTURES, TIED_KEYS, checkpoint_table


def header(path):
    """Shapes by key: a safetensors file opens with the length of a JSON header, then the header."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        entries = json.loads(file.read(length))
    entries.pop("__metadata__", None)
    return {key: tuple(entry["shape"]) for key, entry in entries.items()}


@pytest.mark.parametrize("kind", ["backbone", *ARCHITECTURES.values()])
@pytest.mark.parametrize("layers", [1, 12])
def test_every_key_and_every_variable_stands_once(kind, layers):
    rows = checkpoint_table(layers, kind)
    for column in (0, 1):
        assert max(Counter(row[column] for row in rows).values()) == 1
    # 5 of the embeddings, 16 a block, and the head's.
    head = {"backbone": 0, "masked_lm": 5, "cell_classifier": 4, "gene_classifier": 2}[kind]
    assert len(rows) == 5 + 16 * layers + head
    # No copy of a tied tensor has a variable of its own.
    assert not {row.key for row in rows} & TIED_KEYS.keys()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tiny-v1", "masked_lm"),
        ("tiny-v2", "masked_lm"),
        ("tiny-v1-cell", "cell_classifier"),
        ("tiny-v1-gene", "gene_classifier"),
    ],
)
def test_the_table_is_the_checkpoint(reference, name, kind):
    shapes = header(reference / "checkpoints" / name / "model.safetensors")
    rows = checkpoint_table(3, kind)
    assert {row.key for row in rows} == set(shapes)
    # Kernels of linear layers are transposed; tables, biases and normalisations are not.
    for row in rows:
        kernel = row.path.endswith("/kernel")
        assert row.transposed == kernel, row
        assert len(shapes[row.key]) == 2 or not kernel
