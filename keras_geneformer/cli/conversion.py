"""The verb `convert`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `convert`."""
    verb = add(
        "convert",
        _convert,
        "a published PyTorch checkpoint to a preset, or a preset to one",
        "Of a published checkpoint, reads config.json and model.safetensors (or\n"
        "pytorch_model.bin, without executing it) and writes a directory that --model takes.\n"
        "Every weight is used exactly once, or it fails. --model takes published directories\n"
        "too: converting saves reading them again, and keeps the vocabulary with the weights.\n\n"
        "Of a preset, writes a directory that transformers loads with from_pretrained, every\n"
        "weight bit for bit.\n\n"
        "--verify reads back what was written, compares every weight bit by bit and, where\n"
        "transformers is installed, the outputs of every layer, and prints a table. Where\n"
        "something differs, nothing is left behind and the exit code is 1. A destination that is\n"
        "there already is compared and left as it is; without a destination, a temporary one is\n"
        "compared.",
        "keras-geneformer convert Geneformer-V1-10M geneformer_v1_10m --vocabulary v1 --verify",
    )
    verb.add_argument("source", help="directory, or hf://organisation/repository/subfolder")
    verb.add_argument("destination", nargs="?", help="directory to write")
    verb.add_argument("--output", metavar="DIR", help="the destination, as in the other verbs")
    verb.add_argument("--verify", action="store_true", help="compare both, and say how they fare")
    verb.add_argument(
        "--to",
        choices=("preset", "transformers"),
        help="what to write (default: the one that the source is not)",
    )
    verb.add_argument(
        "--vocabulary", help="v1, v2 or a directory: the checkpoint's vocabulary, to keep with it"
    )
    verb.add_argument(
        "--class-names",
        metavar="FILE",
        help="names of a published classifier's classes: .json, .csv, or the *_id_class_dict.pkl "
        "of the published package",
    )
    verb.add_argument(
        "--task-names",
        metavar="FILE",
        help="tasks of a published multi-task model and names of their classes: .json, or the "
        "task_label_mappings*.pkl of the published package",
    )
    verb.add_argument(
        "--with-vocabulary",
        action="store_true",
        help="to transformers: write the vocabulary too, as the pickles of the published package, "
        "which reads nothing else",
    )
    verb.add_argument(
        "--max-shard-bytes",
        type=int,
        metavar="N",
        help="to transformers: several files of so many bytes at most (default: one file)",
    )


def _convert(options: argparse.Namespace) -> int:
    from keras_geneformer.models.converting import convert_with_table
    from keras_geneformer.models.verification import VerificationError

    given = [path for path in (options.destination, options.output) if path]
    if len(given) > 1 or not (given or options.verify):
        raise ValueError(
            f"Received {len(given)} destinations; expected one, after the source or as --output "
            "(none with --verify, to compare alone)."
        )
    destination = given[0] if given else None
    if options.verify and destination is not None and _is_there(destination):
        return _compare(options.source, destination)
    try:
        model, table = convert_with_table(
            options.source,
            destination,
            options.vocabulary,
            verify=options.verify,
            to=options.to,
            classes=options.class_names,
            tasks=options.task_names,
            vocabulary_files=options.with_vocabulary,
            max_shard_bytes=options.max_shard_bytes,
        )
    except VerificationError as error:
        _show(error.table)
        print(error)
        return 1
    if table is not None:
        _show(table)
    where = "" if destination is None else f" in {destination}"
    print(f"{type(model).__name__} with {model.count_params():,} weights{where}")
    if destination is not None and _lacks_vocabulary(destination):
        print("no vocabulary is kept with it (--vocabulary keeps one)")
    return 0


def _compare(source: str, destination: str) -> int:
    """Compare with what is there; the exit code."""
    from keras_geneformer import verify_checkpoint

    table = verify_checkpoint(source, destination)
    _show(table)
    failed = int(table["passed"].eq(False).sum())
    print(
        f"{destination} was there already and is left as it is: "
        + (f"{failed} of {len(table)} checks failed" if failed else "it is what the source is")
    )
    return 1 if failed else 0


def _is_there(destination: str) -> bool:
    directory = Path(destination)
    return directory.is_dir() and any(directory.iterdir())


def _lacks_vocabulary(destination: str) -> bool:
    """Whether a preset was written without its vocabulary."""
    directory = Path(destination)
    return (directory / "preset.json").is_file() and not (directory / "vocabulary").is_dir()


def _show(table: "pd.DataFrame") -> None:
    import pandas as pd

    words = {True: "equal", False: "DIFFERS"}
    outputs = table["difference"].notna()
    shown = table.assign(
        difference=[f"{value:.1e}" if value == value else "" for value in table["difference"]],
        passed=["not compared" if pd.isna(one) else words[bool(one)] for one in table["passed"]],
    )
    # Outputs are equal within the rounding of float32, which the difference shows.
    shown.loc[outputs & table["passed"].eq(True), "passed"] = "close"
    for column in ("source", "converted"):
        shown[column] = [" ".join(map(_short, text.split())) for text in shown[column]]
    print(shown.rename(columns={"passed": "result"}).to_string(index=False))


def _short(word: str) -> str:
    """A sha256 by its first digits."""
    digits = len(word) == 64 and all(letter in "0123456789abcdef" for letter in word)
    return f"{word[:12]}..." if digits else word
