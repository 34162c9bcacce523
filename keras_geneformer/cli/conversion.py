"""The verb `convert`."""

import argparse
from collections.abc import Callable


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `convert`."""
    verb = add(
        "convert",
        _convert,
        "a published PyTorch checkpoint to a preset",
        "Reads config.json and model.safetensors (or pytorch_model.bin, without executing it) and\n"
        "writes a directory that --model takes. Every weight is used exactly once, or it fails.\n"
        "--model takes published directories too: converting saves reading them again, and keeps\n"
        "the vocabulary with the weights.",
        "keras-geneformer convert Geneformer-V1-10M geneformer_v1_10m --vocabulary v1",
    )
    verb.add_argument("source", help="directory, or hf://organisation/repository/subfolder")
    verb.add_argument("destination", nargs="?", help="preset to write")
    verb.add_argument("--output", metavar="DIR", help="the destination, as in the other verbs")
    verb.add_argument(
        "--vocabulary", help="v1, v2 or a directory: the checkpoint's vocabulary, to keep with it"
    )


def _convert(options: argparse.Namespace) -> None:
    from keras_geneformer import convert_checkpoint

    given = [path for path in (options.destination, options.output) if path]
    if len(given) != 1:
        raise ValueError(
            f"Received {len(given)} destinations; expected one, after the source or as --output."
        )
    model = convert_checkpoint(options.source, given[0], vocabulary=options.vocabulary)
    print(f"{type(model).__name__} with {model.count_params():,} weights in {given[0]}")
    if options.vocabulary is None:
        print("no vocabulary is kept with it (--vocabulary keeps one)")
