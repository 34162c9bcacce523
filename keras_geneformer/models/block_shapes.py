"""Heads and widths of encoder blocks: one number for all of them, or one a block."""

import numbers
from collections.abc import Sequence
from typing import Any


def numbers_by_block(name: str, given: int | Sequence[int], num_layers: int) -> tuple[int, ...]:
    """One number for each block.

    Args:
        name: of the argument, for the message.
        given: a number for all blocks, or one a block.
        num_layers: blocks.

    Raises:
        ValueError: no block, another count of numbers than of blocks, or a number below 1.

    Example:
        >>> numbers_by_block("num_heads", 4, 2), numbers_by_block("num_heads", [4, 3], 2)
        ((4, 4), (4, 3))
    """
    if num_layers < 1:
        raise ValueError(f"Received num_layers={num_layers}; expected at least 1 encoder block.")
    alone = not isinstance(given, Sequence)
    found: tuple[Any, ...] = tuple(given) if isinstance(given, Sequence) else (given,) * num_layers
    if len(found) != num_layers:
        raise ValueError(
            f"Received {name}={list(found)} for {num_layers} encoder blocks; expected one number "
            "for all of them, or one a block."
        )
    if any(not isinstance(one, numbers.Integral) or one < 1 for one in found):
        raise ValueError(
            f"Received {name}={given if alone else list(found)}; expected whole numbers of at "
            "least 1."
        )
    return tuple(int(one) for one in found)


def head_width(hidden_dim: int, block_heads: Sequence[int], given: int | None) -> int:
    """The width of an attention head.

    Args:
        hidden_dim: width of the hidden states.
        block_heads: heads of each block.
        given: the width, or None for `hidden_dim` over the heads.

    Returns:
        The width.

    Raises:
        ValueError: it is left open, by heads that differ or do not divide the hidden width.

    Example:
        >>> head_width(256, (4, 4), None), head_width(256, (4, 3), 64)
        (64, 64)
    """
    if given is not None:
        if not isinstance(given, numbers.Integral) or given < 1:
            raise ValueError(
                f"Received head_dim={given!r}; expected a whole number of at least 1, or None."
            )
        return int(given)
    if len(set(block_heads)) > 1:
        raise ValueError(
            f"Received num_heads={list(block_heads)} without head_dim. Where blocks differ in "
            "heads, give the width of a head."
        )
    if hidden_dim % block_heads[0]:
        raise ValueError(
            f"Received a hidden width of {hidden_dim} and {block_heads[0]} attention heads; the "
            "heads must divide the width."
        )
    return hidden_dim // block_heads[0]


def one_where_equal(by_block: tuple[int, ...]) -> int | tuple[int, ...]:
    """One number where all blocks have the same, else one a block."""
    return by_block[0] if len(set(by_block)) == 1 else by_block


def as_written(number: int | tuple[int, ...]) -> int | list[int]:
    """As JSON keeps it."""
    return list(number) if isinstance(number, tuple) else number
