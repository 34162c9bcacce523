"""The Python of the page on exporting is run as it stands."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_geneformer as kg

PAGE = Path(__file__).resolve().parent.parent / "docs" / "exporting.md"


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="it writes a SavedModel")
def test_the_page_runs():
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(compile("\n".join(blocks), str(PAGE), "exec"), names)
    model, cell = names["model"], names["cell"]
    expected = model.hidden_state_model(1)({"token_ids": cell, "padding_mask": (cell != 0) * 1})
    np.testing.assert_allclose(names["states"][0, :3], np.asarray(expected)[0, :3], atol=1e-5)
    assert kg.exporting.runtimes.read_export(names["directory"])["layer"] == 1
