"""What the library says, in the words of the command line."""

import re

_NUMBERED = "|".join(
    [
        *("accumulate", "batch_size", "checkpoint_every", "distribute", "driver", "epochs"),
        *("folds", "hidden_dim", "intermediate_dim", "learning_rate", "max_length", "max_tokens"),
        *("num_heads", "num_layers", "packed", "recipe", "steps", "validation"),
    ]
)

# The library names its own arguments; the command's options are called otherwise.
_WORDS = {
    r"n_counts_key=None": "--n-counts-key sum",
    r"\(None sums the counts\)": "(sum: the sum over all genes)",
    r"\(None takes var_names\)": "(var_names: the names of its rows)",
    r"check_counts=False": "--no-check-counts",
    r"resume=False": "--no-resume",
    r"shard=\(i, n\)": "--shard i/n",
    r"give it as classifier=\.": "give it with --classifier.",
    r"keep_counts=True": "--keep-counts",
    r'layer="(\w+)"': r"--layer \1",
    r"vocabulary=GeneVocabulary\.load\(\.\.\.\)": "--vocabulary",
    r"vocabulary\.with_orthologs, ": "",
    r"cells\.with_vocabulary\(keras_geneformer\.GeneVocabulary\.load\('v1'\)\)": "--vocabulary v1",
    r", steps=None": "",
    r"\bpack=(?=\d)": "--packed ",
    r"\bbatch_size(?= must be)": "--batch-size",
    r"\bSet KERAS_BACKEND=(\w+)": r"Give --backend \1",
    r"or choose or empty another directory": "choose another --output, or delete that directory",
    r" or '(\w+)' here\.": r" or \1 here.",
    rf"\b({_NUMBERED})='?([\w:-]+(?:\.\d+)*)'?": r"--\1 \2",
    r"\b(batch_size|max_tokens) or (batch_size|max_tokens)\b": r"--\1 or --\2",
    r"pass counts=, an AnnData or a file, what": "give --counts: what",
    r"\bgive group_key\b": "give --group-key",
    r"\bmodel= a preset": "a preset with --model",
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
    return re.sub(r"--[a-z]+_[\w-]+", lambda option: option[0].replace("_", "-"), text)
