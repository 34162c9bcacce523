"""Words of cell sentences as genes of a vocabulary, and their tokens, a batch at a time."""

from collections import Counter
from dataclasses import dataclass, field

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.tokenization.ranking import TARGET_COUNTS, rank_cells
from keras_geneformer.tokenization.sentence_report import SentenceReport
from keras_geneformer.tokenization.sentences.rank_model import RankModel


@dataclass
class SentenceWords:
    """Tokenizes sentences and keeps account of what was understood.

    Args:
        vocabulary: its ids, symbols and aliases are the words that are understood.
        model: from ranks to expression; None to keep the order of the words.
        max_length: the most tokens of a cell, special ones included.
    """

    vocabulary: GeneVocabulary
    model: RankModel | None
    max_length: int
    _positions: dict[str, int] = field(init=False, default_factory=dict)
    _unknown: Counter[str] = field(init=False, default_factory=Counter)
    _numbers: Counter[str] = field(init=False, default_factory=Counter)

    def tokenize(self, sentences: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of some sentences.

        The rank of a word is its place among all words of the sentence, known or not. Where a
        gene stands more than once, under one name or several, the first place counts.

        Args:
            sentences: strings, words separated by blanks; a missing one has no words.

        Returns:
            Token ids, flat, int32; how many belong to each sentence, int64. Sentences without a
            known word have none.
        """
        positions, starts = self._words(sentences)
        places = np.arange(len(positions)) - np.repeat(starts[:-1], np.diff(starts))
        known = int((positions >= 0).sum())
        kept = np.flatnonzero(_first_places(positions, starts, len(self.vocabulary)))
        bounds = np.searchsorted(kept, starts)
        columns, ranks = positions[kept].astype(np.int32), places[kept] + 1
        vocabulary = self.vocabulary
        frame, limit = None, self.max_length
        if vocabulary.cls_token_id is not None and vocabulary.eos_token_id is not None:
            frame, limit = (vocabulary.cls_token_id, vocabulary.eos_token_id), limit - 2
        if self.model is None:
            values, medians = 1.0 / ranks, np.ones(len(vocabulary))
        else:
            values, medians = self.model.expression(ranks), vocabulary.medians
        cells_found = rank_cells(
            values,
            columns,
            bounds,
            np.full(len(bounds) - 1, float(TARGET_COUNTS)),
            vocabulary.tokens,
            medians,
            limit,
            frame,
        )
        words = np.diff(starts)
        self._numbers.update(
            cells=len(words),
            empty=int((words == 0).sum()),
            unknown=int(((words > 0) & (cells_found.found == 0)).sum()),
            truncated=int((cells_found.found > limit).sum()),
            words=len(positions),
            known=known,
            repeated=known - len(kept),
        )
        return cells_found.token_ids, cells_found.lengths

    def _words(self, sentences: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """The gene of each word, as its position in the vocabulary, and where sentences start."""
        texts = pc.fill_null(sentences.cast(pa.large_string()), "")
        split = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(texts))
        encoded = split.flatten().dictionary_encode()
        words = encoded.dictionary.to_pylist()
        new = [word for word in words if word not in self._positions]
        self._positions.update(zip(new, self.vocabulary.positions_of(new).tolist()))
        found = np.array([self._positions[word] for word in words], dtype=np.int64)
        codes = encoded.indices.to_numpy()
        unknown = np.flatnonzero(found < 0)
        if len(unknown):
            times = np.bincount(codes, minlength=len(words))
            self._unknown.update({words[i]: int(times[i]) for i in unknown if words[i]})
        starts = split.offsets.to_numpy().astype(np.int64)
        positions = found[codes] if len(words) else np.zeros(0, dtype=np.int64)
        if "" in words:  # what a sentence without a word is split into
            real = codes != words.index("")
            return positions[real], np.concatenate([[0], np.cumsum(real)])[starts]
        return positions, starts

    def report(self, name: str) -> SentenceReport:
        """What was understood of all sentences so far."""
        numbers = self._numbers
        known = sum(position >= 0 for position in self._positions.values())
        distinct = len(self._positions) - ("" in self._positions)
        return SentenceReport(
            name=name,
            cells=numbers["cells"],
            empty_cells=numbers["empty"],
            unknown_cells=numbers["unknown"],
            truncated_cells=numbers["truncated"],
            words=numbers["words"],
            known_words=numbers["known"],
            repeated_words=numbers["repeated"],
            distinct_words=distinct,
            distinct_known=known,
            unknown_names=tuple(word for word, _ in self._unknown.most_common(10)),
            mode="rank_order" if self.model is None else "rank_value",
            slope=None if self.model is None else self.model.slope,
            intercept=None if self.model is None else self.model.intercept,
        )


@numba.njit(nogil=True, cache=True)
def _first_places(positions, starts, genes):
    """Whether each word is the first of its sentence that names its gene."""
    first = np.zeros(len(positions), np.bool_)
    last_sentence = np.full(genes, -1, np.int64)
    for sentence in range(len(starts) - 1):
        for word in range(starts[sentence], starts[sentence + 1]):
            gene = positions[word]
            if gene >= 0 and last_sentence[gene] != sentence:
                last_sentence[gene] = sentence
                first[word] = True
    return first
