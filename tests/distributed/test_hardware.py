"""What only a TPU or several GPUs can prove: run by hand there; skipped, and said so, elsewhere.

KERAS_BACKEND=tensorflow TPU_NAME=local pytest tests/distributed/test_hardware.py
KERAS_BACKEND=jax pytest tests/distributed/test_hardware.py
"""

import os

import keras
import numpy as np
import pytest
from runs import losses

pytestmark = pytest.mark.tensors


def accelerators():
    """How many GPUs or TPU cores this backend sees."""
    if keras.config.backend() == "jax":
        import jax

        return 0 if jax.default_backend() == "cpu" else jax.local_device_count()
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return len(tf.config.list_physical_devices("GPU"))
    return 0


@pytest.mark.skipif("TPU_NAME" not in os.environ, reason="no TPU here (TPU_NAME is not set)")
@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="TPUStrategy is TensorFlow's")
def test_a_tpu_gives_the_losses_of_a_cpu():
    expected = losses()["losses"]
    # Matrix units round to bfloat16: close, not equal.
    np.testing.assert_allclose(losses(distribute="tpu")["losses"], expected, atol=2e-2)


@pytest.mark.skipif(keras.config.backend() == "torch", reason="Keras: one device on PyTorch")
def test_several_accelerators_give_the_losses_of_one():
    if accelerators() < 2:
        pytest.skip(f"{accelerators()} accelerators here; this needs two or more")
    kinds = ["mirrored"] if keras.config.backend() == "tensorflow" else ["jax-data", "jax-model"]
    expected = losses()["losses"]
    for kind in kinds:
        found = losses(distribute=kind)["losses"]
        np.testing.assert_allclose(found, expected, atol=2e-3, err_msg=kind)
