"""The masked-LM objective: how well hidden genes are guessed, over masked positions alone."""

from keras import ops

from keras_geneformer.layers.chunked_cross_entropy import token_losses


def masked_sums(masked_lm, inputs, labels, weights, training=False, chunk=None):
    """Loss and hits of a batch, summed over its masked positions.

    Sums, so that micro-batches, devices and workers add theirs up before one division: the mean is
    then over all masked positions of a step, wherever they were.

    Args:
        masked_lm: a `GeneformerMaskedLM`.
        inputs: a dict of integers: `token_ids` and `padding_mask` of shape `(batch, length)`, or,
            for packed rows, `token_ids`, `cell_numbers` and `positions`; and `mask_positions` of
            shape `(batch, masks)`.
        labels: true tokens, integers of shape `(batch, masks)`.
        weights: 1 at masked positions, 0 at those that fill up a row, shape `(batch, masks)`.
        training: whether dropout is on and a gradient will be asked for.
        chunk: positions scored at a time; None for all at once.

    Returns:
        A dict of float32 scalars: `loss`, the cross-entropy in nats; `accuracy` and `top5`, the
        positions whose gene has the highest score, and one of the five highest; and `masked`, the
        positions of weight 1. The loss alone has gradients.

    Example:
        >>> import numpy as np
        >>> from keras_geneformer import GeneformerMaskedLM
        >>> from keras_geneformer.testing import tiny_backbone
        >>> cell = np.array([[5, 1, 2]])
        >>> inputs = {"token_ids": cell, "padding_mask": np.ones_like(cell),
        ...           "mask_positions": np.array([[1]])}
        >>> sums = masked_sums(
        ...     GeneformerMaskedLM(tiny_backbone()), inputs, np.array([[7]]), np.ones((1, 1)))
        >>> float(sums["masked"])
        1.0
    """
    packed = "cell_numbers" in inputs
    backbone = masked_lm.backbone
    encoder = backbone.read_out_model(packed)
    names = ("token_ids", "cell_numbers", "positions") if packed else ("token_ids", "padding_mask")
    hidden_states = encoder(
        {name: inputs[name] for name in (*names, "mask_positions")}, training=training
    )
    head = masked_lm.get_layer("masked_lm_head")
    states = head.states(hidden_states)
    weights = ops.cast(weights, "float32")
    loss, right, top5 = token_losses(
        ops.reshape(states, (-1, states.shape[-1])),
        head.token_embedding.embeddings,
        head.bias,
        ops.reshape(labels, (-1,)),
        ops.reshape(weights, (-1,)),
        chunk=chunk,
        gradient=training,
    )
    return {"loss": loss, "accuracy": right, "top5": top5, "masked": ops.sum(weights)}
