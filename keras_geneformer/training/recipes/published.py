"""The published pretraining runs."""

from typing import Any

from keras_geneformer.training.recipes.recipe import Recipe


def v1_10m(**changes: Any) -> Recipe:
    """Geneformer-V1-10M: 6 layers, 256 dim, 2048 tokens, on Genecorpus-30M.

    Command:
        keras-geneformer pretrain --recipe v1_10m --data genecorpus_30M_2048.dataset
            --vocabulary v1 --output model

    Cost: published, about 3 days on 12 V100 with 32 GB (Theodoris et al. 2023, Methods): 27.4
    million cells, 3 epochs of 190,321 steps. Not run here.

    Expected result: the published checkpoint; no loss was published with it. Not run here.

    Learning rate 1e-3, linear, 10,000 steps of warm-up, weight decay .001, dropout .02, 12 cells on
    each of 12 devices, 3 epochs: the published training script. Gradients were clipped to norm 1,
    which is what the trainer it calls does unasked. One device here takes the 144 cells of a step
    in 12 parts; N devices share them, so that each has 12 cells at a time there too.

    Args:
        **changes: other values of fields.
    """
    return Recipe(
        name="v1_10m",
        num_layers=6,
        num_heads=4,
        hidden_dim=256,
        intermediate_dim=512,
        max_length=2048,
        dropout=0.02,
        epochs=3,
        batch_size=144,
        accumulate=12,
        learning_rate=1e-3,
        warmup=10_000,
        decay="linear",
        weight_decay=0.001,
    ).changed(**changes)


def v2_104m(**changes: Any) -> Recipe:
    """Geneformer-V2-104M: 12 layers, 768 dim, 4096 tokens, on some 100 million cells.

    Command:
        keras-geneformer pretrain --recipe v2_104m --data genecorpus_104M.dataset --output model
            --distribute mirrored --batch-size 144

    (eight devices with 18 cells each; without the last line one device takes 18 cells a step)

    Cost: not published for this size. Not run here.

    Expected result: the published checkpoint; no loss was published with it. Not run here.

    Learning rate 2e-4, cosine, warm-up over .007 of the steps, 18 cells a device: the numbers
    reported for the published run. The one training script that is public is V1's, so that weight
    decay and clipping are V1's, and the number of epochs is one pass. mixed_bfloat16, blocks
    computed again backward and scores in parts of 4,096 positions are ours, for memory.

    Args:
        **changes: other values of fields.
    """
    return Recipe(
        name="v2_104m",
        num_layers=12,
        num_heads=12,
        hidden_dim=768,
        intermediate_dim=3072,
        max_length=4096,
        dropout=0.1,
        dtype="mixed_bfloat16",
        epochs=1,
        batch_size=18,
        learning_rate=2e-4,
        warmup=0.007,
        decay="cosine",
        weight_decay=0.001,
        chunk=4096,
        recompute=True,
    ).changed(**changes)


def v2_316m(**changes: Any) -> Recipe:
    """Geneformer-V2-316M: 18 layers, 1152 dim, 4096 tokens, on some 100 million cells.

    Command:
        keras-geneformer pretrain --recipe v2_316m --data genecorpus_104M.dataset --output model
            --distribute mirrored --batch-size 144

    (eight devices with 18 cells each, of which they take 9 at a time)

    Cost: not published for this size. Not run here.

    Expected result: the published checkpoint; no loss was published with it. Not run here.

    No settings of this run are public: they are those of `v2_104m`, with the 18 cells of a step
    taken in two parts.

    Args:
        **changes: other values of fields.
    """
    return (
        v2_104m(
            name="v2_316m",
            num_layers=18,
            num_heads=18,
            hidden_dim=1152,
            intermediate_dim=4608,
            accumulate=2,
        )
    ).changed(**changes)
