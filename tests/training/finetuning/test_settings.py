import pytest

from keras_geneformer.training.finetuning.settings import FinetuneSettings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, r"epochs=0 and batch_size=12; expected more than 0 epochs"),
        ({"learning_rate": float("nan")}, r"Received learning_rate=nan; expected a number above"),
        ({"warmup": -1}, r"warmup is a share of the steps, between 0 and 1, or a number of steps"),
        ({"decay": "fast"}, r"Received decay='fast'; expected one of 'linear', 'cosine'"),
        ({"class_weights": "rare"}, r"Received class_weights='rare'; expected one of"),
        ({"layer_decay": 0}, r"Received layer_decay=0; expected a share above 0"),
        ({"unfreeze": 0}, r"Received unfreeze=0; expected the epochs"),
        ({"quantize": "int8"}, r"Received quantize='int8' without lora: quantized weights cannot"),
        ({"lora": 4, "prune": 0.5}, r"Received lora with unfreeze or prune"),
        ({"early_stopping": 0}, r"Received early_stopping=0; expected 1 or more epochs"),
        ({"distribute": "multiworker"}, r"Received distribute='multiworker'; fine-tuning takes"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        FinetuneSettings(**options)


def test_a_part_of_an_epoch_is_its_share_of_steps():
    assert FinetuneSettings(epochs=0.6).steps(10) == 6
    assert FinetuneSettings(epochs=0.01).steps(10) == 1
    assert FinetuneSettings(epochs=3).steps(10) == 30


def test_a_rise_longer_than_the_run_never_reaches_the_peak():
    schedule = FinetuneSettings(learning_rate=1.0, warmup=200).schedule(100)
    assert float(schedule(100)) == pytest.approx(0.5)


def test_polynomial_decay_ends_where_transformers_does():
    schedule = FinetuneSettings(learning_rate=1e-3, warmup=0, decay="polynomial").schedule(100)
    assert float(schedule(50)) == pytest.approx(0.5 * (1e-3 + 1e-7), rel=1e-5)
    assert float(schedule(100)) == pytest.approx(1e-7, rel=1e-3)
