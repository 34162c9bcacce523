"""Attention summed over cells, by gene and by head, of a size that cells do not change."""

from dataclasses import dataclass

import numpy as np

from keras_geneformer.analysis.attention.attention_models import reduction_model
from keras_geneformer.analysis.attention.reductions import STATISTICS
from keras_geneformer.analysis.attention.wanted import Asked
from keras_geneformer.analysis.pooling import gene_tokens
from keras_geneformer.data.inference import compile_forward, inference_batches, run_batches

PARTS = 10
"""Parts of a cell by rank, the front first, in which attention received is averaged."""

JOINT = ("tokens_in_use", "to_special")
"""What is said of a head in a cell beside `STATISTICS`."""


@dataclass(frozen=True)
class AttentionSums:
    """Sums over the cells of each group, in float64.

    G groups, L layers, H heads of the layer that has most, V token ids. Where a layer has fewer,
    there are zeros beyond them.

    Attributes:
        layers: encoder blocks, from 1.
        heads: how many each of the layers has.
        groups: names of the groups; one without a name where cells are not grouped.
        cells: (G,) cells of each group.
        gene_cells: (G, V) int64, cells that hold each token.
        received: (G, V, L, H) attention that a token receives, over the even share.
        ranks: (G, V) rank of a gene among the cell's genes, from 0.
        rank_shares: (G, V) that rank over the number of the cell's genes, from 0 to 1.
        parts: (G, 10, L, H) mean attention received in each tenth of a cell's genes by rank.
        part_cells: (G, 10) int64, cells that have a gene in that tenth.
        described: (G, L, H, 7) those of `STATISTICS`, then of `JOINT`; zeros where they were not
            asked for.
    """

    layers: tuple[int, ...]
    heads: tuple[int, ...]
    groups: list[str]
    cells: np.ndarray
    gene_cells: np.ndarray
    received: np.ndarray
    ranks: np.ndarray
    rank_shares: np.ndarray
    parts: np.ndarray
    part_cells: np.ndarray
    described: np.ndarray

    @property
    def real_heads(self) -> np.ndarray:
        """(L, H) bool: which heads the layers have."""
        return np.arange(max(self.heads)) < np.asarray(self.heads)[:, None]

    def mean_received(self, group: int, tokens: np.ndarray) -> np.ndarray:
        """(T, L, H) mean over the cells that hold a gene of the attention it receives."""
        return self.received[group, tokens] / self.gene_cells[group, tokens][:, None, None]

    def mean_rank_shares(self, group: int, tokens: np.ndarray) -> np.ndarray:
        """(T,) mean rank of genes, from 0 (front) to 1."""
        return self.rank_shares[group, tokens] / self.gene_cells[group, tokens]


def sum_attention(
    asked: Asked,
    layers: tuple[int, ...],
    codes: np.ndarray,
    groups: list[str],
    *,
    described: bool = True,
    batch_size: int | None = None,
    progress: bool = False,
) -> AttentionSums:
    """Run a model over cells and sum the attention that tokens receive.

    A token's attention in a cell is the mean, over the cell's genes as queries, of the weight it is
    given, times the number of tokens in the cell (special ones included): 1 is an even share,
    whatever the length.

    Args:
        asked: model and cells.
        layers: encoder blocks, from 1.
        codes: (cells,) group of each cell.
        groups: names of the groups.
        described: sum `STATISTICS` and `JOINT` as well; without them it is quicker.
        batch_size: cells a batch; by default as many as 8192 tokens hold.
        progress: show a bar.
    """
    backbone = asked.backbone
    shape = (len(groups), backbone.vocabulary_size)
    heads = tuple(backbone.block_heads[layer - 1] for layer in layers)
    wide = (len(layers), max(heads))
    sums = AttentionSums(
        layers=layers,
        heads=heads,
        groups=groups,
        cells=np.bincount(codes, minlength=len(groups)),
        gene_cells=np.zeros(shape, np.int64),
        received=np.zeros((*shape, *wide)),
        ranks=np.zeros(shape),
        rank_shares=np.zeros(shape),
        parts=np.zeros((len(groups), PARTS, *wide)),
        part_cells=np.zeros((len(groups), PARTS), np.int64),
        described=np.zeros((len(groups), *wide, len(STATISTICS) + len(JOINT))),
    )
    forward = compile_forward(reduction_model(backbone, layers, asked.special, described))
    batches = inference_batches(asked.cells, batch_size, backbone.max_sequence_length)
    for rows, inputs, reduced in run_batches(forward, batches, progress, "attention"):
        genes = gene_tokens(inputs["token_ids"], inputs["padding_mask"], asked.special)
        for place, row in enumerate(rows.tolist()):
            length = int(inputs["padding_mask"][place].sum())
            _add_cell(
                sums,
                int(codes[row]),
                inputs["token_ids"][place, :length],
                genes[place, :length],
                reduced[place],
                described,
            )
    return sums


def _add_cell(
    sums: AttentionSums,
    group: int,
    ids: np.ndarray,
    genes: np.ndarray,
    reduced: np.ndarray,
    described: bool,
) -> None:
    """Add one cell: (n,) token ids, (n,) which are genes, (L, H, padded [+ 5]) its sums."""
    length, number = len(ids), int(genes.sum())
    share = np.moveaxis(reduced[:, :, :length].astype(np.float64), 2, 0)
    relative, tokens = length * share[genes], ids[genes]
    ranks = np.arange(number)
    # A cell holds a token once, so that no addition is lost.
    sums.gene_cells[group, tokens] += 1
    sums.received[group, tokens] += relative
    sums.ranks[group, tokens] += ranks
    sums.rank_shares[group, tokens] += (ranks + 0.5) / number
    parts = ranks * PARTS // number
    first = np.flatnonzero(np.diff(parts, prepend=-1))
    taken = parts[first]
    counts = np.diff(np.append(first, number))[:, None, None]
    sums.parts[group, taken] += np.add.reduceat(relative, first, axis=0) / counts
    sums.part_cells[group, taken] += 1
    if not described:
        return
    entropy = -np.sum(share * np.log(np.where(share > 0, share, 1.0)), axis=0)
    sums.described[group, :, :, : len(STATISTICS)] += reduced[:, :, -len(STATISTICS) :]
    sums.described[group, :, :, -2] += np.exp(entropy)
    sums.described[group, :, :, -1] += share[~genes].sum(axis=0)
