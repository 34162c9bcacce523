"""The Python of the page on analysis is run as it stands."""

import re
from pathlib import Path

import keras
import pytest

pytestmark = pytest.mark.tensors

PAGE = Path(__file__).resolve().parent.parent / "docs" / "analysis.md"


@pytest.mark.skipif(keras.config.backend() != "torch", reason="others compile each length anew")
def test_the_page_runs():
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(compile("\n".join(blocks), str(PAGE), "exec"), names)
    assert len(names["embedding"]) == len(names["cells"]) == 24
    assert set(names["effects"]["measure"]) == {"cell_cosine"}
    assert set(names["moved"]["state"]) == {"original", "T cell", "B cell", "monocyte"}
    assert set(names["pairs"]["gene"].str.count(r"\+")) == {1}
    assert "screen" in set(names["screened"]["measure"])
    assert {"effect", "Sig"} <= set(names["ranked"])
    assert "Shift_to_goal_end" in names["goal"]
    assert names["causes"].directed
    assert not names["alike"].directed
