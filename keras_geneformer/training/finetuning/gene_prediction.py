"""What a gene classifier says of genes, one row a gene."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.models.gene_classifier import GeneformerGeneClassifier
from keras_geneformer.models.presets import check_model_vocabulary, preset_vocabulary
from keras_geneformer.tokenization.genes.gene_lists import cells_with_token
from keras_geneformer.training.finetuning.gene_scores import GeneScores, score_genes


def predict_genes(
    classifier: Any,
    cells: Any,
    genes: str | Sequence[str] = "all",
    *,
    vocabulary: Any = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Classify genes in the context of cells, averaged over the cells that hold them.

    Picture: `kg.plotting.label_confidence`.

    Args:
        classifier: a `GeneformerGeneClassifier`, or the name or directory of its preset.
        cells: a `CellDataset` of its vocabulary.
        genes: `"all"` that the cells have, or a list of Ensembl ids or symbols.
        vocabulary: the `GeneVocabulary`; by default that of the cells, or of the preset.
        batch_size: cells a batch; by default as many as 8192 tokens hold.
        progress: show a bar.

    Returns:
        One row a gene, in the order of tokens: `ensembl_id`, `symbol`, `label` (the likeliest
        class), `prob_<class>` (means over cells), `sd` (standard deviation over cells of the
        probability of `label`) and `cells` (how many hold the gene).

    Raises:
        ValueError: it is no gene classifier, no vocabulary is known, a gene is not in it, none is
            in any cell, or the cells are of another vocabulary.

    Example:
        >>> from keras_geneformer import GeneformerGeneClassifier
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> classifier = GeneformerGeneClassifier(tiny_backbone(), classes=["no", "yes"])
        >>> predict_genes(classifier, synthetic_dataset(3), ["GENE1", "GENE2"]).columns.tolist()
        ['ensembl_id', 'symbol', 'label', 'prob_no', 'prob_yes', 'sd', 'cells']
    """
    vocabulary = vocabulary_of(classifier, cells, vocabulary)
    if isinstance(classifier, (str, os.PathLike)):
        classifier = GeneformerGeneClassifier.from_preset(classifier)
    if not isinstance(classifier, GeneformerGeneClassifier):
        raise ValueError(
            f"Received a {type(classifier).__name__} to predict with; expected a "
            "GeneformerGeneClassifier (finetune_genes makes one) or the preset of one."
        )
    check_model_vocabulary(classifier, vocabulary)
    backbone = classifier.backbone
    check_vocabulary(
        cells,
        classifier.vocabulary_checksum,
        backbone.vocabulary_size,
        backbone.max_sequence_length,
        backbone.special_token_ids,
    )
    tokens = wanted_tokens(genes, cells, vocabulary)
    scores = score_genes(classifier, cells, tokens, batch_size=batch_size, progress=progress)
    names = classifier.classes or [str(number) for number in range(classifier.num_classes)]
    return gene_table(scores, tokens, names, vocabulary)


def wanted_tokens(genes: str | Sequence[str], cells: Any, vocabulary: Any) -> np.ndarray:
    """Token ids, ascending, of the genes asked for that some cell has.

    Raises:
        ValueError: neither "all" nor a list, a gene that the vocabulary does not know, or none that
            a cell has.
    """
    in_cells = cells_with_token(cells, vocabulary.size) > 0
    if isinstance(genes, str):
        if genes != "all":
            raise ValueError(f'Received genes={genes!r}; expected "all" or a list of genes.')
        return vocabulary.tokens[in_cells[vocabulary.tokens]]
    genes = list(genes)
    tokens = vocabulary.tokens_of(genes)
    unknown = [str(gene) for gene, token in zip(genes, tokens) if token < 0]
    if unknown or not genes:
        raise ValueError(
            f"{len(unknown)} of {len(genes)} genes are not in the vocabulary: "
            f"{', '.join(unknown[:10]) or 'none was given'}."
        )
    tokens = np.unique(tokens)
    absent = vocabulary.symbols_of(tokens[~in_cells[tokens]]).tolist()
    if len(absent) == len(tokens):
        raise ValueError(
            f"None of the {len(tokens)} genes is in any of the cells: {', '.join(absent[:10])}."
        )
    if absent:
        warnings.warn(
            f"{len(absent)} of {len(tokens)} genes are in none of the cells, and are left out: "
            f"{', '.join(absent[:10])}.",
            stacklevel=3,
        )
    return tokens[in_cells[tokens]]


def gene_table(
    scores: GeneScores, tokens: np.ndarray, classes: Sequence[str], vocabulary: Any
) -> pd.DataFrame:
    """Scores of genes as a table, as `predict_genes` returns it."""
    mean, deviation = scores.mean(), scores.deviation()
    likeliest = mean.argmax(axis=1)
    table = pd.DataFrame(
        {
            "ensembl_id": vocabulary.genes_of(tokens),
            "symbol": vocabulary.symbols_of(tokens),
            "label": np.asarray(classes, dtype=object)[likeliest],
        }
    )
    for number, name in enumerate(classes):
        table[f"prob_{name}"] = mean[:, number]
    table["sd"] = deviation[np.arange(len(tokens)), likeliest]
    table["cells"] = scores.cells
    return table


def vocabulary_of(model_or_preset: Any, cells: Any, vocabulary: Any = None) -> Any:
    """The vocabulary given, else that of the cells, else that of the preset.

    Raises:
        ValueError: there is none, or it is not the one the cells were tokenized with.
    """
    if vocabulary is None:
        vocabulary = cells.vocabulary
    if vocabulary is None and isinstance(model_or_preset, (str, os.PathLike)):
        vocabulary = preset_vocabulary(model_or_preset)
    if vocabulary is None:
        raise ValueError(
            "To find genes by name the vocabulary is needed, and neither the cells nor the preset "
            "carry one: pass vocabulary=GeneVocabulary.load(...)."
        )
    known = cells.vocabulary_checksum
    if known is not None and known != vocabulary.checksum:
        raise ValueError(
            f"The vocabulary (checksum {vocabulary.checksum[:12]}…) is not the one that the cells "
            f"were tokenized with (checksum {known[:12]}…)."
        )
    return vocabulary
