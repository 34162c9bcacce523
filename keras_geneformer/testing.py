"""A tiny vocabulary, a tiny model and synthetic cells of known types: for tests, ours and yours."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import anndata

    from keras_geneformer.models.backbone import GeneformerBackbone
    from keras_geneformer.tokenization.cells.dataset import CellDataset
    from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

CELL_TYPES = ("B cell", "T cell", "monocyte")
"""The types of `synthetic_cells`."""

GENES = 120
"""Genes of `synthetic_cells` and of `tiny_vocabulary`."""

_MARKERS = 15


def synthetic_cells(cells: int = 90, seed: int = 0) -> "anndata.AnnData":
    """Counts of made-up cells, of three types that differ in 15 marker genes each.

    Args:
        cells: how many.
        seed: of the counts.

    Returns:
        An AnnData of (cells, 120) integer counts as CSR float32; obs: `cell_type` (the three types
        in turn), `donor` (four), `n_counts`; var: `ensembl_id`, `symbol`.

    Example:
        >>> adata = synthetic_cells(6)
        >>> adata.obs["cell_type"].tolist()
        ['B cell', 'T cell', 'monocyte', 'B cell', 'T cell', 'monocyte']
    """
    import anndata
    import scipy.sparse

    rng = np.random.default_rng(seed)
    kind = np.arange(cells) % len(CELL_TYPES)
    # The level of each gene is a property of the genes, not of a draw: every seed has the same.
    level = np.exp(np.random.default_rng(20).normal(0.0, 1.0, GENES))
    rates = np.tile(level, (cells, 1))
    for number in range(len(CELL_TYPES)):
        markers = slice(number * _MARKERS, (number + 1) * _MARKERS)
        rates[kind == number, markers] *= 8.0
    depth = rng.lognormal(0.0, 0.4, size=(cells, 1))
    counts = rng.poisson(rates * depth).astype(np.float32)
    counts[np.arange(cells), rng.integers(GENES, size=cells)] += 1.0
    obs = pd.DataFrame(
        {
            "cell_type": np.asarray(CELL_TYPES, dtype=object)[kind],
            "donor": [f"donor{number}" for number in rng.integers(4, size=cells)],
            "n_counts": counts.sum(axis=1),
        },
        index=[f"cell{number}" for number in range(cells)],
    )
    var = pd.DataFrame(
        {"ensembl_id": _gene_ids(), "symbol": _symbols()},
        index=_gene_ids(),
    )
    return anndata.AnnData(scipy.sparse.csr_matrix(counts), obs=obs, var=var)


def tiny_vocabulary(cls: bool = False) -> "GeneVocabulary":
    """A vocabulary of the 120 genes of `synthetic_cells`.

    Args:
        cls: with `<cls>` and `<eos>`, as V2 has.

    Example:
        >>> len(tiny_vocabulary()), tiny_vocabulary().size
        (120, 122)
    """
    from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

    names = ["<pad>", "<mask>", "<cls>", "<eos>"] if cls else ["<pad>", "<mask>"]
    genes, symbols = _gene_ids(), _symbols()
    return GeneVocabulary(
        genes,
        np.arange(len(names), len(names) + GENES),
        np.linspace(20.0, 200.0, GENES),
        symbols=symbols,
        aliases=dict(zip(symbols, genes)),
        special_tokens={name: token for token, name in enumerate(names)},
        version="tiny",
        max_length=128,
    )


def synthetic_dataset(cells: int = 90, seed: int = 0, cls: bool = False) -> "CellDataset":
    """`synthetic_cells`, tokenized with `tiny_vocabulary`.

    Example:
        >>> len(synthetic_dataset(12))
        12
    """
    from keras_geneformer.tokenization.tokenizer import RankValueTokenizer

    return RankValueTokenizer(tiny_vocabulary(cls))(synthetic_cells(cells, seed))


def tiny_backbone(cls: bool = False, **options: Any) -> "GeneformerBackbone":
    """A backbone with random weights for `tiny_vocabulary`: 3 layers, 4 heads, 32 dim.

    Args:
        cls: for the vocabulary with `<cls>` and `<eos>`.
        **options: other arguments of `GeneformerBackbone`.

    Example:
        >>> tiny_backbone().num_layers
        3
    """
    from keras_geneformer.models.backbone import GeneformerBackbone

    vocabulary = tiny_vocabulary(cls)
    arguments = {
        "vocabulary_size": vocabulary.size,
        "num_layers": 3,
        "num_heads": 4,
        "hidden_dim": 32,
        "intermediate_dim": 64,
        "max_sequence_length": vocabulary.max_length,
        "special_token_ids": tuple(sorted(vocabulary.special_tokens.values())),
        "vocabulary_checksum": vocabulary.checksum,
    }
    return GeneformerBackbone(**(arguments | options))


def _gene_ids() -> list[str]:
    return [f"ENSG{90_000_000_000 + number}" for number in range(GENES)]


def _symbols() -> list[str]:
    return [f"GENE{number}" for number in range(GENES)]
