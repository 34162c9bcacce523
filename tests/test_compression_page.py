"""The Python of the page on smaller models is run as it stands."""

import re
from pathlib import Path

import keras
import pytest

pytestmark = pytest.mark.tensors

PAGE = Path(__file__).resolve().parent.parent / "docs" / "compression.md"


@pytest.mark.skipif(keras.config.backend() != "torch", reason="others compile each step anew")
def test_the_page_runs():
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(compile("\n".join(blocks), str(PAGE), "exec"), names)
    assert len(names["labels"]) == len(names["cells"])
    assert names["smaller"].count_params() < names["model"].count_params()
    assert names["student"].backbone.num_layers == 1
