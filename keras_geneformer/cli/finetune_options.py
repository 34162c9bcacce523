"""The settings of fine-tuning as options; those not given are left to the library."""

import argparse
import ast
from collections.abc import Sequence
from typing import Any

_DECAYS = ("linear", "cosine", "constant", "polynomial")
_NAMED = (
    *("validation", "epochs", "batch_size", "learning_rate", "warmup", "decay", "weight_decay"),
    *("freeze_layers", "loss", "class_weights", "sampling", "head_layers", "pooling"),
)


def add_finetune_options(
    verb: argparse.ArgumentParser, poolings: Sequence[str] = ("first", "mean", "cls")
) -> None:
    """Adds `--epochs`, `--learning-rate`, `--loss` and others, and `--set NAME=VALUE` for all."""
    options = verb.add_argument_group(
        "fine-tuning", "what is not given is as `finetune_cells` has it"
    )
    options.add_argument("--epochs", type=float, help="passes over the training cells")
    options.add_argument("--batch-size", type=int, help="cells a batch")
    options.add_argument("--learning-rate", type=float, help="the peak, after a warm-up")
    options.add_argument("--warmup", type=number, help="share of the steps, or a number of steps")
    options.add_argument("--decay", choices=_DECAYS, help="of the learning rate, after the peak")
    options.add_argument("--weight-decay", type=float, help="of all but biases and LayerNorm")
    options.add_argument(
        "--freeze-layers", type=int, help="encoder blocks, from the input, that keep their weights"
    )
    options.add_argument("--loss", help="cross_entropy, focal, dice, dice_cross_entropy, ...")
    options.add_argument("--class-weights", choices=("balanced", "effective_number"))
    options.add_argument("--sampling", choices=("upsample", "downsample", "balanced"))
    options.add_argument("--head-layers", type=int, help="new encoder blocks")
    options.add_argument("--pooling", choices=poolings, help="stands for the cell")
    options.add_argument(
        "--validation",
        type=number_or_text,
        help="share of the training cells that choose the epoch, or an obs column of which whole "
        "groups do",
    )
    options.add_argument(
        "--set",
        type=assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other setting, such as layer_decay=0.8 or lora=8",
    )


def finetune_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given.

    Raises:
        ValueError: `--set` of what the verb has another option for.
    """
    for name, _ in options.set:
        if name in vars(options) and name not in (*_NAMED, "seed"):
            raise ValueError(f"--set {name} is no setting: see --help for how to give it.")
    given = {name: getattr(options, name) for name in _NAMED}
    return {name: value for name, value in given.items() if value is not None} | dict(options.set)


def number(text: str) -> float | int:
    """An argparse type: a whole number as such, any other as float."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def number_or_text(text: str) -> float | int | str:
    """An argparse type: a number where it is one."""
    try:
        return number(text)
    except ValueError:
        return text


def assignment(text: str) -> tuple[str, Any]:
    """An argparse type: a setting and its value, as Python writes it; other text is text.

    Example:
        >>> assignment("lora_targets=('query', 'key')"), assignment("loss=focal")
        (('lora_targets', ('query', 'key')), ('loss', 'focal'))
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def values_of_setting(text: str) -> tuple[str, list[Any]]:
    """An argparse type: a setting and values to try, with commas between them.

    Example:
        >>> values_of_setting("learning_rate=1e-4,1e-3")
        ('learning_rate', [0.0001, 0.001])
    """
    name, value = text.partition("=")[::2]
    return name, [assignment(f"{name}={one.strip()}")[1] for one in value.split(",")]
