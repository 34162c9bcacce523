"""What a run of perturbation needs of a model: its engine, its classifier, states, names."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_geneformer.analysis.perturbation.states import States
from keras_geneformer.analysis.state_embedding import embed_states
from keras_geneformer.data.compatibility import check_vocabulary


def classifier_of(classifier: Any, cells: Any) -> Any:
    """A cell classifier, given or by its preset, that may be asked about these cells.

    Raises:
        ValueError: something else than a cell classifier; one of another vocabulary.
    """
    if classifier is None:
        return None
    from keras_geneformer.models.cell_classifier import GeneformerCellClassifier

    if isinstance(classifier, (str, os.PathLike)):
        classifier = GeneformerCellClassifier.from_preset(classifier)
    if not isinstance(classifier, GeneformerCellClassifier):
        raise ValueError(
            f"Received a {type(classifier).__name__} as classifier; expected a "
            "GeneformerCellClassifier, or the name or directory of its preset."
        )
    if classifier.num_classes < 2:
        raise ValueError(
            f"The classifier has {classifier.num_classes} class; log-odds need two or more."
        )
    backbone = classifier.backbone
    check_vocabulary(
        cells,
        backbone.vocabulary_checksum,
        backbone.vocabulary_size,
        backbone.max_sequence_length,
        backbone.special_token_ids,
    )
    return classifier


def class_names(classifier: Any) -> tuple[str, ...]:
    """The names of a classifier's classes, or their numbers."""
    if classifier is None:
        return ()
    return tuple(map(str, classifier.classes or range(classifier.num_classes)))


def state_vectors(
    backbone: Any, cells: Any, states: States | None, progress: bool, **options: Any
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The embeddings of states, (states, hidden_dim) float64, and their names.

    Args:
        backbone: whose embeddings.
        cells: all of them.
        states: None for none.
        progress: show a bar.
        options: `layer`, `pooling`, `batch_size` of `embed_states`.

    Raises:
        ValueError: vectors of another width than the model's.
    """
    if states is None:
        return None, ()
    vectors = states.vectors
    if vectors is None:
        vectors = embed_states(
            backbone, cells, states.obs_key, states=states.names, progress=progress, **options
        )
    width = backbone.hidden_dim
    if vectors.shape[1] != width:
        raise ValueError(
            f"The vectors of states have {vectors.shape[1]} columns, and the model's hidden states "
            f"{width}: make them with this model (embed_states)."
        )
    table = vectors.set_axis([str(name) for name in vectors.index])
    return table.loc[states.names].to_numpy(dtype=np.float64), tuple(states.names)


def gene_namer(vocabulary: Any) -> Callable[[np.ndarray], np.ndarray]:
    """From token ids to the names of genes; without a vocabulary, the ids as text."""
    if vocabulary is None:
        return lambda tokens: np.asarray(tokens).astype(str).astype(object)
    return lambda tokens: np.asarray(vocabulary.genes_of(np.asarray(tokens)), dtype=object)
