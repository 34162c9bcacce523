"""Tokens of random sparse matrices against ten lines of Python."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_geneformer import GeneVocabulary, RankValueTokenizer

GENES = [f"ENSG{i:011d}" for i in range(12)]
VOCABULARY = GeneVocabulary(
    GENES,
    np.arange(4, 16),
    np.array([0.5, 1, 2, 1 / 3, 3, 0.1, 1, 1, 5, 7, 1, 2]),
    symbols=[f"SYM{i}" for i in range(12)],
    aliases={f"SYM{i}": gene for i, gene in enumerate(GENES)} | {"OLD1": GENES[1]},
    special_tokens={"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3},
    max_length=10,
)


def reference(counts, names, totals):
    cells = []
    for row, total in zip(counts, totals):
        sums = {}
        for count, name in zip(row, names):
            gene = VOCABULARY.aliases.get(name.strip().upper().split(".")[0])
            if gene is not None and count > 0:
                sums[gene] = sums.get(gene, 0.0) + float(count)
        ranked = [
            (-(n / total * 1e4 / VOCABULARY.medians[GENES.index(g)]), g) for g, n in sums.items()
        ]
        if ranked:
            cells.append([2, *(4 + GENES.index(gene) for _, gene in sorted(ranked)[:8]), 3])
    return cells


@st.composite
def spelled(draw):
    """A gene under one of its names, or a name that no gene has."""
    number = draw(st.integers(0, 11))
    spelling = draw(
        st.sampled_from(["{id}", "{low}", "{id}.7", "sym{n}", "SYM{n}", " {id} ", "x{n}"])
    )
    return spelling.format(id=GENES[number], low=GENES[number].lower(), n=number)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_tokens_equal_ten_lines_of_python(data):
    names = data.draw(st.lists(spelled(), min_size=1, max_size=16))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    counts = rng.integers(0, 4, size=(data.draw(st.integers(1, 5)), len(names)))
    dtype = data.draw(st.sampled_from(["f4", "f8", "i4", "i8", "u2"]))
    layout = data.draw(st.sampled_from([sp.csr_matrix, sp.csc_matrix, np.asarray]))
    totals = counts.sum(axis=1) + 1.0
    adata = anndata.AnnData(
        layout(counts.astype(dtype)),
        obs=pd.DataFrame({"n_counts": totals}, index=[f"c{i}" for i in range(len(counts))]),
        var=pd.DataFrame({"ensembl_id": names}, index=[f"v{i}" for i in range(len(names))]),
    )
    expected = reference(counts, names, totals)
    tokenizer = RankValueTokenizer(VOCABULARY)
    known = VOCABULARY.positions_of(names) >= 0
    if counts[:, known].sum() < 0.05 * counts.sum() or not known.any():
        with pytest.raises(ValueError, match=r"vocabulary"):
            tokenizer(adata)
    elif not expected:
        with pytest.raises(ValueError, match=r"^no cell is left to tokenize"):
            tokenizer(adata)
    else:
        cells = tokenizer(adata)
        assert [cell.tolist() for cell in cells] == expected
        # Neither the order of the cells nor that of the genes says anything.
        cell, gene = rng.permutation(len(counts)), rng.permutation(len(names))
        again = tokenizer(adata[cell][:, gene].copy())
        assert {n: c.tolist() for n, c in zip(again.obs.index, again)} == {
            n: c.tolist() for n, c in zip(cells.obs.index, cells)
        }
