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
        "keras-geneformer convert Geneformer-V1-10M --vocabulary v1 --output geneformer_v1_10m",
    )
    verb.add_argument("source", help="directory, or hf://organisation/repository/subfolder")
    verb.add_argument("--output", required=True, metavar="DIR", help="preset to write")
    verb.add_argument(
        "--vocabulary", help="v1, v2 or a directory: the checkpoint's vocabulary, to keep with it"
    )


def _convert(options: argparse.Namespace) -> None:
    from keras_geneformer import convert_checkpoint

    model = convert_checkpoint(options.source, options.output, vocabulary=options.vocabulary)
    print(f"{type(model).__name__} with {model.count_params():,} weights in {options.output}")
    if options.vocabulary is None:
        print("no vocabulary is kept with it (--vocabulary keeps one)")
