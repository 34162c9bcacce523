import keras
import pytest

from keras_geneformer.training.finetuning.determinism import deterministic

pytestmark = pytest.mark.tensors


def is_on():
    if keras.config.backend() == "torch":
        import torch

        return torch.are_deterministic_algorithms_enabled()
    from tensorflow.python.framework import config

    return config.is_op_determinism_enabled()


def test_is_on_within_and_as_before_after():
    if keras.config.backend() == "jax":
        with deterministic():
            pass
        return
    with pytest.raises(KeyError), deterministic():
        raise KeyError(is_on())
    assert not is_on()
    with deterministic():
        with deterministic():
            pass
        assert is_on()
    assert not is_on()


def test_threads_are_for_torch():
    message = "Received threads=0 on .*; expected 1 or more on torch, and None on the others"
    with pytest.raises(ValueError, match=message), deterministic(threads=0):
        pass
