"""In silico perturbation: what becomes of a cell's embedding when a gene is taken away."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from keras_geneformer.analysis.perturbation.gene_selection import (
    check_presence,
    selected_tokens,
    target_positions,
    vocabulary_for,
)
from keras_geneformer.analysis.pooling import (
    check_pooling,
    gene_tokens,
    pooled_states,
    special_ids,
)
from keras_geneformer.backend import require_backend
from keras_geneformer.data.buckets import bucket_lengths
from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.data.inference import TOKENS_A_BATCH, Forward, compile_forward
from keras_geneformer.models.backbone_of import backbone_of

KINDS = ("delete",)
"""The perturbations there are."""

COLUMNS = ["cell", "gene", "token", "kind", "measure", "state", "value"]


def perturb(
    model: Any,
    cells: Any,
    *,
    kind: str = "delete",
    genes: str | Sequence[str | int] = "all",
    layer: int = -2,
    pooling: str = "mean",
    batch_size: int | None = None,
    vocabulary: Any = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Delete genes from cells, each alone, and measure how far the cell embedding moves.

    The deleted gene's token is taken out and all below it move up one rank (Theodoris et al.,
    Nature 2023). What is measured is the published package's cosine between the perturbed and
    the original cell. With `pooling="cls"` it is that of the states of `<cls>`. With
    `pooling="mean"` it is the mean, over the genes that are left, of the cosine between a gene's
    state after and before, which is not the cosine between the two mean embeddings. It is
    computed in float64, because the effect of one gene in a long cell is near the rounding of
    float32. A cell of a single gene is passed over: nothing would be left of it.

    Args:
        model: a `GeneformerBackbone`, a model on one, or the name or directory of a preset.
        cells: a `CellDataset`.
        kind: `"delete"`.
        genes: `"all"` genes of each cell, or a list: Ensembl ids or symbols (then `vocabulary` is
            needed) or token ids. Each is deleted alone, in the cells that have it.
        layer: hidden states taken; the second to last by default.
        pooling: `"mean"` over genes (as published for V1); `"cls"` (as published for V2);
            `"first"`, the first token, whatever it is.
        batch_size: variants of a cell a batch; by default as many as 8192 tokens hold.
        vocabulary: the `GeneVocabulary` that names the genes; that of a given preset, or of the
            cells where they carry one, by default. Without any, `gene` is the token as text.
        progress: show a bar that counts deletions.

    Returns:
        One row a deletion, by cell and then by rank: `cell` (its name in obs), `gene`, `token`,
        `kind`, `measure` (`"cell_cosine"`, as above), `state` (`"original"`: what was compared
        with), `value` (float64; 1 means no effect).

    Raises:
        ValueError: an unknown kind; a gene that is not in the vocabulary or in none of the cells;
            gene names without a vocabulary; or whatever `embed_cells` refuses.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> effects = perturb(tiny_backbone(), synthetic_dataset(1))
        >>> bool(effects["value"].between(-1, 1).all())
        True
    """
    if kind not in KINDS:
        raise ValueError(
            f"Received kind={kind!r}; the perturbations there are: {', '.join(KINDS)}."
        )
    backbone = backbone_of(model)
    states = pooled_states(backbone, layer, pooling)
    check_vocabulary(
        cells,
        backbone.vocabulary_checksum,
        backbone.vocabulary_size,
        backbone.max_sequence_length,
        backbone.special_token_ids,
    )
    special = special_ids(cells, backbone)
    check_pooling(cells, pooling, special)
    vocabulary = vocabulary_for(model, cells, vocabulary)
    wanted = selected_tokens(genes, vocabulary, special)
    check_presence(cells, wanted, genes)
    targets = [target_positions(ids, wanted, special) for ids in _each(cells)]
    total = sum(len(positions) for positions in targets)
    if total == 0:
        raise ValueError("There is nothing to delete: no cell has two genes or more.")

    runner = _Runner(compile_forward(states), special, pooling, batch_size, cells)
    tables = []
    with tqdm(total=total, desc=kind, unit="gene", disable=not progress) as bar:
        for name, ids, positions in zip(cells.obs.index, _each(cells), targets):
            if not len(positions):
                continue
            values = []
            for cosines in runner.cosines(ids, positions):
                values.append(cosines)
                bar.update(len(cosines))
            table = {"cell": name, "token": ids[positions], "value": np.concatenate(values)}
            tables.append(pd.DataFrame(table))
    effects = pd.concat(tables, ignore_index=True)
    effects["gene"] = _gene_names(effects["token"].to_numpy(), vocabulary)
    effects["kind"], effects["measure"], effects["state"] = kind, "cell_cosine", "original"
    return effects[COLUMNS]


class _Runner:
    """Compares a cell without a gene with the cell as it is, many genes a batch."""

    def __init__(
        self,
        forward: Forward,
        special: np.ndarray,
        pooling: str,
        batch_size: int | None,
        cells: Any,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
        self.forward = forward
        self.special = special
        self.pooling = pooling
        self.batch_size = batch_size
        # XLA compiles each shape: on JAX variants are padded to one of a few lengths, and batches
        # to one size. Elsewhere the variants of a cell, all of one length, need no padding.
        self.buckets = None
        if require_backend() == "jax":
            self.buckets = bucket_lengths(np.asarray(cells.lengths))

    def cosines(self, ids: np.ndarray, positions: np.ndarray) -> Iterator[np.ndarray]:
        """The measure of each deletion, batch by batch, in float64."""
        original = self._states(ids[None], 1)[0]
        size = self.batch_size or max(1, TOKENS_A_BATCH // self._padded(len(ids)))
        for start in range(0, len(positions), size):
            deleted = positions[start : start + size]
            variants = deletions(ids, deleted)
            states = self._states(variants, 1 if self.buckets is None else size)
            if self.pooling != "mean":
                yield _cosine(states[:, 0], original[0])
                continue
            before = original[deletions(np.arange(len(ids)), deleted)]
            genes = gene_tokens(variants, np.ones_like(variants), self.special)
            yield (_cosine(states, before) * genes).sum(axis=1) / genes.sum(axis=1)

    def _states(self, token_ids: np.ndarray, multiple: int) -> np.ndarray:
        """Hidden states of cells of one length, in float64."""
        rows, length = token_ids.shape
        fill = ((0, -rows % multiple), (0, self._padded(length) - length))
        padding_mask = np.pad(np.ones_like(token_ids), ((0, 0), fill[1]))
        padding_mask = np.pad(padding_mask, (fill[0], (0, 0)), mode="edge")
        states = self.forward(
            {"token_ids": np.pad(token_ids, fill, mode="edge"), "padding_mask": padding_mask}
        )
        return states[:rows, :length].astype(np.float64)

    def _padded(self, length: int) -> int:
        if self.buckets is None:
            return length
        return int(self.buckets[np.searchsorted(self.buckets, length)])


def _cosine(states: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Cosine along the last axis."""
    norms = np.linalg.norm(states, axis=-1) * np.linalg.norm(others, axis=-1)
    return np.einsum("...d,...d->...", states, np.broadcast_to(others, states.shape)) / norms


def deletions(ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """A cell without each of some positions: (positions, tokens - 1).

    Example:
        >>> import numpy as np
        >>> deletions(np.array([5, 6, 7]), np.array([0, 2])).tolist()
        [[6, 7], [5, 6]]
    """
    kept = np.arange(len(ids) - 1)
    return ids[kept + (kept >= np.asarray(positions)[:, None])]


def _each(cells: Any) -> Iterator[np.ndarray]:
    for number in range(len(cells)):
        yield np.asarray(cells[number], dtype=np.int32)


def _gene_names(tokens: np.ndarray, vocabulary: Any) -> np.ndarray:
    return tokens.astype(str) if vocabulary is None else vocabulary.genes_of(tokens)
