"""A model that trains on a laptop."""

from typing import Any

from keras_geneformer.training.recipes.recipe import Recipe


def mini(**changes: Any) -> Recipe:
    """A small Geneformer: 3 layers, 128 dim, 512 tokens.

    Command:
        keras-geneformer pretrain --recipe mini --data cells.dataset --output model

    Cost: about 40 minutes of one CPU core, on TensorFlow, for the 5,344 cells of `geneformer_mini`
    (470 tokens each, 2,004 steps).

    Expected result: there, a loss of 6.9 on held-out cells after the second of six epochs, where
    guessing by gene frequency loses 8.7, and the informed guess of `training.baselines` 7.8; the
    last one is in weights/geneformer_mini/README.md.

    Of cells with more than 512 tokens the 512 genes of the highest ranks are used.

    Args:
        **changes: other values of fields.
    """
    return Recipe(
        name="mini",
        num_layers=3,
        num_heads=4,
        hidden_dim=128,
        intermediate_dim=256,
        max_length=512,
        dropout=0.02,
        epochs=6,
        batch_size=16,
        learning_rate=2e-3,
        warmup=0.05,
        decay="cosine",
        weight_decay=0.001,
        validation=0.1,
    ).changed(**changes)
