"""A vocabulary as the four files of the published package, which reads nothing else.

Nothing else here is ever pickled. These hold plain dictionaries of text to text, integers or
floats, and are written only where they are asked for.
"""

import os
import pickle
from pathlib import Path

from keras_geneformer.shipped_presets import local_directory
from keras_geneformer.tokenization.genes.published_vocabulary import (
    VERSIONS,
    Dictionaries,
    PublishedVersion,
    fetch_dictionaries,
    find_published,
    read_dictionaries,
)
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

_PROTOCOL = 4


def write_published_vocabulary(
    directory: str | os.PathLike[str],
    vocabulary: GeneVocabulary,
    source: str | os.PathLike[str] | None = None,
) -> list[Path]:
    """Write token, median, name and mapping dictionaries as the published package reads them.

    They are called as those of V2 (`token_dictionary_gc104M.pkl` ...) where the vocabulary has
    `<cls>` and `<eos>`, else as those of V1 (`token_dictionary_gc30M.pkl` ...), and
    `GeneVocabulary.load(directory)` gives the vocabulary's checksum. A name and a maximal length of
    its own have no place in them.

    Args:
        directory: an existing directory.
        vocabulary: the vocabulary.
        source: where it was loaded from, "v1", "v2" or a directory. Where that holds the published
            files, all that they hold is written again: medians of genes without tokens, names of
            genes outside the vocabulary, aliases in their own case. A `GeneVocabulary` alone keeps
            none of these.

    Returns:
        The four paths.

    Raises:
        ValueError: the name of a special token does not begin with "<", by which the files tell it
            from a gene, or that of a gene does.

    Example:
        >>> import tempfile
        >>> from keras_geneformer.testing import tiny_vocabulary
        >>> directory = tempfile.mkdtemp()
        >>> write_published_vocabulary(directory, tiny_vocabulary())[0].name
        'token_dictionary_gc30M.pkl'
        >>> GeneVocabulary.load(directory).checksum == tiny_vocabulary().checksum
        True
    """
    version = VERSIONS["v2" if vocabulary.cls_token_id is not None else "v1"]
    published = None if source is None else _dictionaries_at(source)
    if published is not None:
        version, dictionaries = published
    else:
        dictionaries = published_dictionaries(vocabulary)
    paths = []
    for kind, dictionary in dictionaries.items():
        path = Path(directory) / version.file(kind)
        path.write_bytes(pickle.dumps(dictionary, protocol=_PROTOCOL))
        paths.append(path)
    return paths


def published_dictionaries(vocabulary: GeneVocabulary) -> Dictionaries:
    """What the four files of a vocabulary hold, by the beginning of their names.

    Raises:
        ValueError: the name of a special token does not begin with "<", or that of a gene does.
    """
    specials = vocabulary.special_tokens
    genes = vocabulary.genes.tolist()
    wrong = [name for name in specials if not name.startswith("<")]
    wrong += [gene for gene in genes if gene.startswith("<")]
    if wrong:
        raise ValueError(
            f"The published package tells special tokens from genes by '<' at the beginning of "
            f"their names; received {wrong[0]!r} as "
            f"{'a special token' if wrong[0] in specials else 'a gene'}. Keep this vocabulary in "
            "our own format (GeneVocabulary.save)."
        )
    symbols = zip(vocabulary.symbols.tolist(), genes)
    return {
        "token_dictionary": dict(sorted(specials.items(), key=lambda item: item[1]))
        | dict(zip(genes, vocabulary.tokens.tolist())),
        "gene_median_dictionary": dict(zip(genes, vocabulary.medians.tolist())),
        "gene_name_id_dict": {symbol: gene for symbol, gene in symbols if symbol},
        "ensembl_mapping_dict": dict(vocabulary.aliases),
    }


def _dictionaries_at(
    source: str | os.PathLike[str],
) -> tuple[PublishedVersion, Dictionaries] | None:
    """The published files at a place where a vocabulary was loaded from; None where are none."""
    name = str(source).lower()
    if name in VERSIONS:
        return VERSIONS[name], fetch_dictionaries(VERSIONS[name])
    found = find_published(local_directory(Path(source)), None)
    return None if found is None else (found[0], read_dictionaries(*found))
