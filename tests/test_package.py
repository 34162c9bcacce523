"""What importing the package loads, and what it says where no backend is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    *("tensorflow", "jax", "torch", "openvino", "keras"),
    *("scanpy", "matplotlib", "anndata", "umap", "pandas"),
}


def _python(code: str, tmp_path: Path, *options: str) -> subprocess.CompletedProcess:
    """Runs code in a fresh interpreter that no setting of Keras reaches."""
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        env=environment | {"KERAS_HOME": str(tmp_path)},
        check=False,
    )


def test_importing_the_package_loads_nothing_heavy(tmp_path):
    trace = _python("import keras_geneformer", tmp_path, "-X", "importtime")
    assert trace.returncode == 0, trace.stderr
    loaded = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in trace.stderr.splitlines()}
    assert "keras_geneformer" in loaded
    assert loaded.isdisjoint(HEAVY)


NO_BACKEND = """
import sys
for name in ("tensorflow", "jax", "torch", "openvino"):
    sys.modules[name] = None  # as if it were not installed
import keras_geneformer as kg
"""


def test_tokenizing_works_without_any_backend(tmp_path):
    code = """
from keras_geneformer.testing import synthetic_cells, tiny_vocabulary
print(len(kg.RankValueTokenizer(tiny_vocabulary())(synthetic_cells(5))), "keras" in sys.modules)
"""
    run = _python(NO_BACKEND + code, tmp_path)
    assert run.stdout == "5 False\n", run.stderr


@pytest.mark.parametrize(
    "name", ["GeneformerBackbone", "GeneformerMaskedLM", "pretrain", "embed_cells"]
)
def test_the_first_use_of_a_model_names_the_extra_to_install(tmp_path, name):
    run = _python(NO_BACKEND + f"kg.{name}", tmp_path)
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1] == (
        "ImportError: No Keras backend is installed, and models need one (tokenizing does not). "
        "Install one with `pip install 'keras_geneformer[tensorflow]'` (or [jax], or [torch])."
    )


def test_a_backend_that_was_asked_for_and_is_missing_is_named(tmp_path):
    code = 'import os; os.environ["KERAS_BACKEND"] = "jax"\n' + NO_BACKEND + "kg.GeneformerBackbone"
    run = _python(code, tmp_path)
    assert "The Keras backend is set to 'jax', which is not installed" in run.stderr
    assert "pip install 'keras_geneformer[jax]'" in run.stderr


@pytest.mark.tensors
def test_every_public_name_is_there_and_documented():
    import keras_geneformer as kg

    for name in kg.__all__:
        assert getattr(kg, name) is not None
        assert name == "__version__" or getattr(kg, name).__doc__.strip()
    assert set(kg.__all__) <= set(dir(kg))
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        kg.Nonsense  # noqa: B018
