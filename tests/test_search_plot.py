import pandas as pd
import pytest

from keras_geneformer.plotting import search_history

TRIALS = pd.DataFrame(
    {
        "trial": range(4),
        "state": ["complete", "pruned", "complete", "running"],
        "score": [0.5, 0.2, 0.7, float("nan")],
    }
)


def test_a_search_is_drawn(tmp_path):
    axes = search_history(TRIALS, tmp_path / "history.png", title="cell_type: 4 trials")
    assert (tmp_path / "history.png").stat().st_size > 10_000
    pruned, complete, best = axes.get_lines()
    assert (list(pruned.get_ydata()), list(complete.get_ydata())) == ([0.2], [0.5, 0.7])
    assert list(best.get_ydata()) == [0.5, 0.7]
    lowest = search_history(TRIALS, lowest=True)
    assert list(lowest.get_lines()[2].get_ydata()) == [0.5, 0.5]


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"no column \['state'\] among \['trial', 'score'\]"):
        search_history(TRIALS[["trial", "score"]], tmp_path / "history.png")
    with pytest.raises(ValueError, match="no trial has a score: nothing to draw"):
        search_history(TRIALS[3:], tmp_path / "history.png")
    assert list(tmp_path.iterdir()) == []
