"""The cells that a study is given, tokenized where they are counts."""

import os
from pathlib import Path
from typing import Any

from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.tokenization.tokenizer import RankValueTokenizer


def study_cells(
    data: Any,
    vocabulary: GeneVocabulary | None,
    *,
    max_length: int | None = None,
    **counts_options: Any,
) -> CellDataset:
    """Cells from a `.h5ad` file, an AnnData, a `.dataset` directory, or as they are.

    Args:
        data: any of these.
        vocabulary: the model's, to tokenize counts with.
        max_length: longest cell in tokens, of those tokenized here. Default: the vocabulary's.
        **counts_options: `gene_key`, `n_counts_key`, `layer` and `check_counts` of the tokenizer.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a file of another kind, or counts come without a vocabulary.
    """
    if isinstance(data, CellDataset):
        return data
    if isinstance(data, (str, os.PathLike)):
        path = Path(data)
        if not path.exists():
            raise FileNotFoundError(f"no data at {path}; expected a .h5ad file or a .dataset")
        if path.is_dir():
            return CellDataset.load(path)
        if path.suffix != ".h5ad":
            raise ValueError(
                f"{path} is neither a .h5ad file nor a .dataset directory; `keras-geneformer "
                "tokenize` makes a dataset of other files"
            )
        import anndata

        data = anndata.read_h5ad(path)
    if vocabulary is None:
        raise ValueError(
            "The model comes without a vocabulary, which tokenizing counts needs: give vocabulary "
            "('v1', 'v2' or a directory), or a .dataset"
        )
    return RankValueTokenizer(vocabulary, max_length=max_length)(data, **counts_options)
