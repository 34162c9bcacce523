"""The verb `prune`."""

import argparse
from collections.abc import Callable


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `prune`."""
    verb = add(
        "prune",
        _prune,
        "take out the attention heads and units that a model needs least",
        "Writes a preset of the same kind with fewer heads and units in its blocks: smaller and\n"
        "faster everywhere. With cells they are judged by what the model loses without them, else\n"
        "by the size of their weights. Fine-tune or pretrain it afterwards to recover.",
        "keras-geneformer prune cell_types --heads .25 --units .5 --cells cells.dataset "
        "--label-key cell_type --output cell_types_small",
        trains=True,
    )
    verb.add_argument("model", metavar="PRESET", help="preset to prune")
    verb.add_argument("--output", required=True, metavar="DIR", help="preset to write")
    verb.add_argument("--heads", type=float, default=0.0, help="share of the attention heads")
    verb.add_argument(
        "--units", type=float, default=0.0, help="share of the units of feed-forward networks"
    )
    verb.add_argument(
        "--weights",
        type=float,
        default=0.0,
        help="share of the kernels' weights that is set to 0, which makes nothing smaller",
    )
    verb.add_argument("--cells", metavar="DATASET", help="tokenized cells that judge")
    verb.add_argument("--label-key", help="obs column with the classes, for a cell classifier")
    verb.add_argument(
        "--criterion",
        choices=("loss", "embedding", "magnitude"),
        help="what counts (default: the loss of a masked LM or classifier, the embedding of "
        "others, the magnitude without cells)",
    )
    verb.add_argument(
        "--scope",
        choices=("layer", "global"),
        default="layer",
        help="the share of each block, or of all together (default: %(default)s)",
    )
    verb.add_argument(
        "--max-cells", type=int, default=256, help="cells that are drawn (default: %(default)s)"
    )
    verb.add_argument("--seed", type=int, default=0, help="of every draw")
    verb.add_argument(
        "--vocabulary", help="v1, v2 or a directory, to keep in the preset (default: the model's)"
    )


def _prune(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, GeneVocabulary, prune

    result = prune(
        options.model,
        heads=options.heads,
        units=options.units,
        weights=options.weights,
        cells=CellDataset.load(options.cells) if options.cells else None,
        label_key=options.label_key,
        criterion=options.criterion,
        scope=options.scope,
        max_cells=options.max_cells,
        output=options.output,
        vocabulary=GeneVocabulary.load(options.vocabulary) if options.vocabulary else None,
        seed=options.seed,
        progress=True,
    )
    print(result.text())
    print(f"{type(result.model).__name__} in {options.output}")
