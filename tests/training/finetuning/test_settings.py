import dataclasses
import json

import numpy as np
import pytest

from keras_geneformer.training.finetuning.settings import FinetuneSettings


def test_numbers_of_numpy_become_such_as_json_holds():
    given = {"freeze_layers": np.int64(2), "learning_rate": np.float32(0.5), "warmup": np.int32(5)}
    weights = {"a": np.float32(2), np.int64(1): 1}
    settings = FinetuneSettings(**given, class_weights=weights, lora_targets=["key"])
    found = json.loads(json.dumps(dataclasses.asdict(settings)))
    assert [found[name] for name in given] == [2, 0.5, 5]
    assert found["class_weights"] == {"a": 2.0, "1": 1.0}
    assert settings.lora_targets == ("key",)
    assert settings.schedule(20).warmup_steps == 5
    assert dataclasses.replace(settings, epochs=2).freeze_layers == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bogus": 1}, r"There is no setting 'bogus'; expected some of epochs, batch_size, learn"),
        ({"batch_size": 2.5}, r"Received batch_size=2\.5; expected a whole number\.$"),
        ({"freeze_layers": 1.5}, r"Received freeze_layers=1\.5; expected a whole number\.$"),
        ({"lora": "four"}, r"Received lora='four'; expected a whole number or None\.$"),
        ({"epochs": "abc"}, r"Received epochs='abc'; expected a number\.$"),
        ({"epochs": True}, r"Received epochs=True; expected a number\.$"),
        ({"merge": "no"}, r"Received merge='no'; expected True or False\.$"),
        ({"loss": 3}, r"Received loss=3; expected a name\.$"),
        ({"class_weights": 2}, r"Received class_weights=2; expected a name or None\.$"),
        ({"class_weights": {"a": "b"}}, r"expected a number for each class\.$"),
        ({"lora_targets": "query"}, r"Received lora_targets='query'; expected names of layers"),
        ({"weight_decay": -1}, r"Received weight_decay=-1; expected a number of 0 or more"),
        ({"clip_norm": 0}, r"Received clip_norm=0; expected a norm above 0, or None"),
        ({"focal_gamma": -1.0}, r"Received focal_gamma=-1\.0; expected a number of 0 or more"),
        ({"head_dropout": 2}, r"Received head_dropout=2; expected a share from 0 up to, and not"),
        ({"head_layers": -1}, r"Received head_layers=-1 and freeze_layers=0; expected 0 encoder"),
        ({"seed": -1}, r"Received seed=-1; expected 0 to 4294967295\."),
        ({"unfreeze": float("nan")}, r"Received unfreeze=nan; expected the epochs after which"),
    ],
)
def test_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        FinetuneSettings(**settings)
