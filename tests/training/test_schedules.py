import numpy as np
import pytest

from keras_geneformer.training.schedules import WarmupSchedule

pytestmark = pytest.mark.tensors


def rates(**options):
    schedule = WarmupSchedule(0.1, 10, **options)
    return [float(schedule(step)) for step in range(11)]


def test_linear_is_that_of_the_published_run(reference):
    expected = np.load(reference / "pretrain" / "mlm_batch.tiny-v1.npz")["step_lrs"] * 100
    np.testing.assert_allclose(rates(warmup_steps=2)[:10], expected, rtol=1e-6)
    assert rates(warmup_steps=2)[10] == 0


def test_cosine_halves_in_the_middle_and_constant_stays():
    cosine = rates(warmup_steps=2, decay="cosine")
    assert cosine[2] == pytest.approx(0.1)
    assert cosine[6] == pytest.approx(0.05)
    assert cosine[10] == pytest.approx(0, abs=1e-8)
    np.testing.assert_allclose(rates(warmup_steps=2, decay="constant")[2:], 0.1, rtol=1e-6)


def test_comes_back_from_its_configuration():
    schedule = WarmupSchedule(0.1, 10, 2, "cosine")
    again = WarmupSchedule.from_config(schedule.get_config())
    assert float(again(5)) == float(schedule(5))


def test_refuses_an_unknown_decay_and_too_long_a_rise():
    with pytest.raises(ValueError, match=r"Received decay='step'; expected one of linear, cosine"):
        WarmupSchedule(0.1, 10, decay="step")
    with pytest.raises(ValueError, match=r"Received warmup_steps=11 of total_steps=10; the rise"):
        WarmupSchedule(0.1, 10, warmup_steps=11)
