"""From hidden states to one vector a cell, in float64 on the host."""

from typing import Any

import keras
import numpy as np

POOLINGS = ("mean", "cls", "first")


def pooled_states(backbone: Any, layer: int, pooling: str) -> Any:
    """A model from tokens to what pooling needs of one layer's hidden states.

    No block above the layer is in it, nor any head.

    Args:
        backbone: a `GeneformerBackbone`.
        layer: as in `GeneformerBackbone.hidden_state_model`.
        pooling: with `"cls"` and `"first"` only the first token's state leaves the device.

    Returns:
        A `keras.Model` giving (B, N, D) for `"mean"`, else (B, 1, D).

    Raises:
        ValueError: no such layer or pooling.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"Received pooling={pooling!r}; expected one of {', '.join(POOLINGS)}.")
    model = backbone.hidden_state_model(layer)
    if pooling == "mean":
        return model
    return keras.Model(model.input, model.output[:, :1, :], name=f"{model.name}_{pooling}")


def pool(states: np.ndarray, genes: np.ndarray, pooling: str) -> np.ndarray:
    """Pool what `pooled_states` gave.

    Sums are taken in float64: the effect of one deleted gene in a long cell is as small as the
    rounding of a float32 mean.

    Args:
        states: (B, N, D), or (B, 1, D) for `"cls"` and `"first"`.
        genes: (B, N) whether a token is a gene (not padding, not special).
        pooling: `"mean"` over the genes, or `"cls"` / `"first"`.

    Returns:
        (B, D) float64.
    """
    if pooling != "mean":
        return states[:, 0].astype(np.float64)
    weights = genes / genes.sum(axis=1, keepdims=True)
    return np.stack([row @ state.astype(np.float64) for row, state in zip(weights, states)])


def gene_tokens(token_ids: np.ndarray, padding_mask: np.ndarray, special: np.ndarray) -> np.ndarray:
    """(B, N) True where a token is a gene: not padding, and not one of the special ids."""
    return (padding_mask != 0) & ~np.isin(token_ids, special)


def special_ids(cells: Any, backbone: Any) -> np.ndarray:
    """The ids that are no genes, from the cells' vocabulary, or from the model where unknown."""
    if cells.special_tokens:
        return np.array(sorted(cells.special_tokens.values()))
    return np.array(sorted(backbone.special_token_ids))


def check_pooling(cells: Any, pooling: str, special: np.ndarray) -> None:
    """Refuse cells that cannot be pooled so.

    Raises:
        ValueError: `"cls"` with cells that do not begin with `<cls>`; `"mean"` with a cell that has
            no gene.
    """
    pieces = cells.token_lists.pieces()
    if pooling == "cls":
        if cells.special_tokens:
            cls = cells.special_tokens.get("<cls>")
        else:
            # Published datasets name no special tokens; where a model has <cls>, its id is third.
            cls = special[2] if len(special) > 2 else None
        if cls is None or any(np.any(ids[offsets[:-1]] != cls) for ids, offsets in pieces):
            raise ValueError(
                'Received pooling="cls", but not every cell begins with <cls> (special tokens: '
                f'{cells.special_tokens}): use pooling="mean", or "first" for the first token.'
            )
    if pooling == "mean":
        genes = [
            np.add.reduceat(~np.isin(ids, special), offsets[:-1], dtype=np.int64)
            for ids, offsets in pieces
        ]
        empty = np.flatnonzero(np.concatenate(genes) == 0)
        if len(empty):
            raise ValueError(
                f"{len(empty)} cells have no gene (the first is {cells.obs.index[empty[0]]!r}): "
                "there is nothing to average. Drop them with cells.subset."
            )
