"""What the library says, in the words of the command line."""

import re

# The library names its own arguments; the command's options are called otherwise.
_WORDS = {
    r"n_counts_key=None": "--n-counts-key sum",
    r"\(None sums the counts\)": "(sum: the sum over all genes)",
    r"\(None takes var_names\)": "(var_names: the names of its rows)",
    r"check_counts=False": "--no-check-counts",
    r"keep_counts=True": "--keep-counts",
    r'layer="(\w+)"': r"--layer \1",
    r"vocabulary=GeneVocabulary\.load\(\.\.\.\)": "--vocabulary",
    r"vocabulary\.with_orthologs, ": "",
    r"\b(gene|n_counts)_key=(?=\s)": r"--\1-key",
    r"\b(layer|vocabulary|column)=(?=[\s,])": r"--\1",
}


def for_the_command_line(text: str) -> str:
    """A message of the library with its arguments under the names of the command's options.

    Example:
        >>> for_the_command_line("Give gene_key= the column, or pass n_counts_key=None")
        'Give --gene-key the column, or pass --n-counts-key sum'
    """
    for pattern, words in _WORDS.items():
        text = re.sub(pattern, words, text)
    return text.replace("--n_counts-key", "--n-counts-key")
