import keras
import pytest

from keras_geneformer.training.distribution import Distribution
from keras_geneformer.training.lost_workers import workers_named

pytestmark = [
    pytest.mark.tensors,
    pytest.mark.skipif(keras.config.backend() != "jax", reason="errors of JAX"),
]


def test_too_little_memory_is_not_called_a_lost_process():
    from jax.errors import JaxRuntimeError

    distribution = Distribution("jax-data", devices=2, part=(0, 2))
    message = "RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes"
    with pytest.raises(JaxRuntimeError, match=message), workers_named(distribution, None):
        raise JaxRuntimeError(message)
    message = r"^Process 0 of a run of 2 lost another one \(UNAVAILABLE: gone\)\. No state was kept"
    with pytest.raises(ConnectionError, match=message), workers_named(distribution, None):
        raise JaxRuntimeError("UNAVAILABLE: gone")
