"""The verb `fit-vocabulary`, which needs no Keras."""

import argparse
from collections.abc import Callable

from keras_geneformer.cli.counts_options import add_counts_options, counts_options


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `fit-vocabulary`."""
    fit = add(
        "fit-vocabulary",
        _fit_vocabulary,
        "a vocabulary of your own: the genes of a corpus, and their nonzero medians",
        "For a species or corpus that the published vocabularies do not cover. Models have to be\n"
        "pretrained with it.",
        "keras-geneformer fit-vocabulary mouse/*.h5ad --output mouse_vocabulary",
        keras=False,
    )
    fit.add_argument("files", nargs="+", metavar="FILE", help=".h5ad, or folders of them")
    fit.add_argument("--output", required=True, metavar="DIR", help="vocabulary to write")
    add_counts_options(fit)


def _fit_vocabulary(options: argparse.Namespace) -> None:
    from keras_geneformer import GeneVocabulary

    vocabulary = GeneVocabulary.fit(options.files, progress=True, **counts_options(options))
    vocabulary.save(options.output)
    print(
        f"{len(vocabulary)} genes, {vocabulary.size} token ids (checksum "
        f"{vocabulary.checksum[:12]}) in {options.output}"
    )
