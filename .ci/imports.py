"""Fails where `import keras_geneformer` loads what only its parts need, or is slow."""

import subprocess
import sys

HEAVY = {
    "tensorflow",
    "jax",
    "torch",
    "keras",
    "openvino",
    "scanpy",
    "matplotlib",
    "anndata",
    "umap",
}

trace = subprocess.run(
    [sys.executable, "-X", "importtime", "-c", "import keras_geneformer"],
    capture_output=True,
    text=True,
    check=True,
).stderr
lines = [line.split("|") for line in trace.splitlines() if line.count("|") == 2]
loaded = {name.strip().split(".")[0] for _, _, name in lines} & HEAVY
milliseconds = (
    next(int(total) for _, total, name in lines if name.strip() == "keras_geneformer") / 1000
)
print(f"import keras_geneformer: {milliseconds:.1f} ms, heavy modules: {sorted(loaded) or 'none'}")
sys.exit(1 if loaded or milliseconds > 1000 else 0)
