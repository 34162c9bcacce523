"""Options of the verbs that ask a model about cells: the cells, the model, what is read of it."""

import argparse


def add_input(verb: argparse.ArgumentParser) -> None:
    """Adds the dataset and the model."""
    verb.add_argument("dataset", help="tokenized cells (from `tokenize`)")
    verb.add_argument(
        "--model",
        "--preset",
        required=True,
        help="preset or published checkpoint: directory, name, .keras file or hf:// address",
    )


def add_states(verb: argparse.ArgumentParser, poolings: tuple[str, ...] | None) -> None:
    """Adds the layer, the pooling (where there is any) and the batch size."""
    verb.add_argument(
        "--layer",
        type=int,
        default=-2,
        help="after so many encoder blocks, negative from the end (default: %(default)s)",
    )
    if poolings:
        verb.add_argument(
            "--pooling", choices=poolings, default="mean", help="over genes (default: %(default)s)"
        )
    verb.add_argument("--batch-size", type=int, help="cells a batch (default: as memory allows)")
