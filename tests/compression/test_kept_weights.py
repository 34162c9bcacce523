import numpy as np
import pytest

pytest.importorskip("keras")


def test_exactly_the_smallest_share_goes_of_each_array_or_of_all():
    from keras_geneformer.compression.pruning import kept_weights

    rng = np.random.default_rng(0)
    sizes = {"small": rng.random((10, 10)), "large": 10 * rng.random((20, 10))}
    of_each = kept_weights(sizes, 0.3)
    assert {name: int((~kept).sum()) for name, kept in of_each.items()} == {
        "small": 30,
        "large": 60,
    }
    for name, kept in of_each.items():
        assert sizes[name][~kept].max() < sizes[name][kept].min()
    of_all = kept_weights(sizes, 0.3, "global")
    assert sum(int((~kept).sum()) for kept in of_all.values()) == 90
    least = min(sizes[name][kept].min() for name, kept in of_all.items())
    assert all(sizes[name][~kept].max() < least for name, kept in of_all.items())
    assert (~of_all["small"]).mean() > 0.6
    equal = kept_weights({"equal": np.ones(8)}, 0.5)["equal"]
    assert equal.tolist() == [False] * 4 + [True] * 4
