import numpy as np
import pytest
from scipy.stats import spearmanr

from keras_geneformer.analysis.perturbation.gradient_screen import GradientScreen
from keras_geneformer.analysis.perturbation.measures import state_shifts, vector_defects
from keras_geneformer.data.inference import compile_forward
from keras_geneformer.testing import synthetic_dataset, tiny_backbone

pytestmark = pytest.mark.tensors

GENES = slice(1, 29)
GOAL = np.random.default_rng(2).standard_normal((1, 8))
DIRECTIONS = 7
"""All there are across a state of 8 numbers."""


@pytest.fixture(scope="module")
def backbone():
    """As trained ones are: some tokens are looked at more than others, and ranks are less."""
    backbone = tiny_backbone(cls=True, num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16)
    rng = np.random.default_rng(0)
    spread = {"kernel": 0.3, "embeddings": 0.02, "position_table": 0.003, "segment_table": 0.0}
    for variable in backbone.trainable_variables:
        name = variable.path.split("/")[-1]
        if name in spread:
            variable.assign(spread[name] * rng.standard_normal(variable.shape))
    return backbone


@pytest.fixture(scope="module")
def ids():
    """<cls>, 28 genes and <eos>."""
    cell = synthetic_dataset(1, cls=True)[0]
    return np.concatenate([cell[:29], cell[-1:]])


@pytest.fixture(scope="module")
def deletions(backbone, ids):
    """States of the cell, and of each deletion of a gene."""
    forward = compile_forward(backbone.hidden_state_model(-1))

    def states(cells):
        return forward({"token_ids": cells, "padding_mask": np.ones_like(cells)}).astype(float)

    deleted = np.stack([np.delete(ids, place) for place in range(*GENES.indices(len(ids)))])
    return states(ids[None])[0], states(deleted)


@pytest.fixture(scope="module")
def of_first(backbone):
    return screen(backbone, pooling="first", projections=DIRECTIONS)


def screen(backbone, **settings):
    settings = {"layer": -1, "special": backbone.special_token_ids, **settings}
    return GradientScreen(backbone, **settings)


def test_the_shift_towards_a_state_is_foretold(backbone, ids, deletions):
    before, after = deletions
    pooled = {
        "mean": (before[GENES].mean(0), after[:, 1:-1].mean(1)),
        "cls": (before[0], after[:, 0]),
    }
    for pooling, (original, perturbed) in pooled.items():
        shifts = state_shifts(original, perturbed - original, GOAL)[:, 0]
        scores = screen(backbone, pooling=pooling, states=GOAL).scores(ids)
        assert np.isnan(scores[[0, -1]]).all()
        assert spearmanr(scores[GENES], shifts).statistic > 0.85
        assert np.polyfit(scores[GENES], shifts, 1)[0] == pytest.approx(1, abs=0.35)


def test_how_far_cls_moves_is_foretold_by_projections(of_first, ids, deletions):
    before, after = deletions
    moved = vector_defects(before[0], after[:, 0])
    scores = of_first.scores(ids)
    assert np.isnan(scores[[0, -1]]).all()
    assert spearmanr(scores[GENES], moved).statistic > 0.85
    assert np.median(scores[GENES] / moved) == pytest.approx(1, abs=0.35)


def test_how_far_genes_move_is_foretold(backbone, ids, deletions):
    before, after = deletions
    moved = []
    for number, states in enumerate(after):
        left = np.delete(before[GENES], number, axis=0)
        defects = [vector_defects(one, other[None])[0] for one, other in zip(left, states[1:-1])]
        moved.append(np.mean(defects))
    scores = screen(backbone, pooling="mean", projections=2).scores(ids)
    assert spearmanr(scores[GENES], moved).statistic > 0.85
    assert np.median(scores[GENES] / moved) == pytest.approx(1, abs=0.35)


def test_a_deleted_first_token_is_computed(backbone, of_first, ids):
    genes = ids[1:-1]
    forward = compile_forward(backbone.hidden_state_model(-1))
    first, second = (
        forward({"token_ids": some[None], "padding_mask": np.ones_like(some)[None]})[0, 0]
        for some in (genes, genes[1:])
    )
    scores = of_first.scores(genes)
    expected = vector_defects(first.astype(float), second[None].astype(float))[0]
    assert scores[0] == pytest.approx(expected, rel=1e-4)


def test_projections_are_those_of_the_cell_whatever_came_before(of_first, ids):
    first = of_first.scores(ids)
    of_first.scores(ids[::-1])
    np.testing.assert_array_equal(of_first.scores(ids), first)
    assert of_first.passes == 2 + 2 * DIRECTIONS + 2


def test_a_single_gene_has_no_score(of_first):
    assert np.isnan(of_first.scores(np.array([2, 9, 3]))).all()


def test_refuses(backbone):
    with pytest.raises(ValueError, match="Received pooling='max'; expected one of mean, cls, fir"):
        screen(backbone, pooling="max")
    with pytest.raises(ValueError, match="Received projections=0; expected 1 or more"):
        screen(backbone, pooling="cls", projections=0)
    with pytest.raises(ValueError, match=r"states of shape \(1, 5\); expected \(states, 8\), as"):
        screen(backbone, pooling="cls", states=np.ones((1, 5)))
