"""The stored notebooks: what each must say and show, and that they are whole.

That they run is `make notebooks`, a stage of CI of its own.
"""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NAMES = [
    "01_quickstart",
    "02_counts_to_tokens",
    "03_pretrain_mini",
    "04_pancreas_cell_types",
    "05_dosage_sensitive_genes",
    "06_in_silico_perturbation",
    "07_attention",
    "08_exposure_prediction",
    "09_your_own_disease",
    "10_tpu_and_multi_gpu",
    "11_published_checkpoint",
]
MACHINE = re.compile(r"/(tmp|root|home|work)/|site-packages|127\.0\.0\.1")


def code_sha256(notebook):
    """As the runner has it."""
    spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    execute = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(execute)
    return execute.code_sha256(notebook)


def outputs(notebook):
    """Everything the code cells show, as text, and the kinds of data they hold."""
    texts, kinds = [], []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error", output
            texts.append(output.get("text", ""))
            for kind, data in output.get("data", {}).items():
                kinds.append(kind)
                if kind.startswith("text"):
                    texts.append(data)
    return "\n".join(texts), kinds


def test_these_are_the_notebooks():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_begins_with_what_it_shows_and_keeps_what_it_showed(name):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    for word in ("Shows", "Cost", "At full size"):
        assert f"**{word}" in first.source

    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    stored = notebook.metadata["keras_geneformer"]["code_sha256"]
    assert stored == code_sha256(notebook), "its code was edited since: run notebooks/execute.py"
    counts = [cell.execution_count for cell in code]
    assert counts == list(range(1, len(code) + 1)), "not run once from its first cell to its last"
    text, kinds = outputs(notebook)
    assert "image/png" in kinds
    assert MACHINE.search(text) is None, MACHINE.search(text)
    assert "that come with scanpy stand in" not in text, "stored without the data it tells of"
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_links_of_a_notebook_lead_somewhere(name):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert targets, "no link to what comes next"
    assert [target for target in targets if not (FOLDER / target).exists()] == []
