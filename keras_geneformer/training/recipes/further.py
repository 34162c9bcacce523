"""Runs that go on from a model, and runs on cells that were published as sentences."""

from typing import Any

from keras_geneformer.training.recipes.laptop import mini
from keras_geneformer.training.recipes.recipe import Recipe


def continual(**changes: Any) -> Recipe:
    """Goes on from a pretrained model, on cells of another kind, as V2's cancer models did.

    Command:
        keras-geneformer pretrain --recipe continual --model geneformer_v2_104m
            --data tumours.dataset --output geneformer_v2_104m_tumours

    Cost: that of one epoch of the model's own pretraining, by the number of cells. Published for
    Geneformer-V2-104M_CLcancer: 14 million cells, no time. Not run here.

    Expected result: a lower loss on cells of that kind than the model had. Not run here.

    The published settings are not public. The peak is a twentieth of V1's and a quarter of V2's,
    with a warm-up, so that the first steps, on moments not yet known, do not undo what was learnt;
    one pass; a tenth of the cells held out, to see whether it helps.

    Args:
        **changes: other values of fields.
    """
    return Recipe(
        name="continual",
        epochs=1,
        batch_size=12,
        learning_rate=5e-5,
        warmup=0.05,
        decay="cosine",
        weight_decay=0.001,
        validation=0.1,
    ).changed(**changes)


def cell_sentences(**changes: Any) -> Recipe:
    """Cells that were published as sentences of gene names, such as immune-c2s.

    Command:
        keras-geneformer tokenize-sentences immune.parquet --vocabulary v2 --output immune.dataset
        keras-geneformer pretrain --recipe cell_sentences --data immune.dataset --output model

    Cost: not run here; a cell costs what it costs `mini`, or less where it is shorter.

    Expected result: not run here.

    Sentences often hold but the highest genes of a cell, so cells are short and of many lengths:
    several lie in one row of 1,024 tokens, with attention within each alone, and a
    step is 16 rows. Otherwise it is `mini`, with cells as long as a row.

    Args:
        **changes: other values of fields.
    """
    recipe = mini(name="cell_sentences", max_length=1024, packed=1024, batch_size=16)
    return recipe.changed(**changes)
