"""The formats: who writes each, which file it is, and what must be installed for it."""

import importlib.util
from dataclasses import dataclass


@dataclass(frozen=True)
class ExportFormat:
    """One format of another runtime."""

    file: str
    """Its file or directory in the exported directory."""
    writers: dict[str, tuple[str, ...]]
    """Keras backend to the modules that it needs to write the format."""
    runtime: tuple[str, ...]
    """Modules that run it."""
    extra: str
    """The extra of this package that installs them."""


FORMATS = {
    "saved_model": ExportFormat("saved_model", {"tensorflow": ()}, ("tensorflow",), "tensorflow"),
    "onnx": ExportFormat(
        "model.onnx",
        {"tensorflow": ("onnx", "tf2onnx"), "torch": ("onnx", "onnxscript")},
        ("onnxruntime",),
        "export",
    ),
    "litert": ExportFormat("model.tflite", {"tensorflow": ()}, ("ai_edge_litert",), "export"),
    "openvino": ExportFormat(
        "model.xml",
        {"openvino": ("openvino",), "tensorflow": ("openvino",)},
        ("openvino",),
        "openvino",
    ),
}


def check_format(name: str, backend: str) -> ExportFormat:
    """The format of a name, where it can be written here.

    Args:
        name: `"saved_model"`, `"onnx"`, `"litert"` or `"openvino"`.
        backend: the Keras backend in use.

    Raises:
        ValueError: there is no such format, or this backend does not write it.
        ImportError: what writes it is not installed.

    Example:
        >>> check_format("saved_model", "tensorflow").file
        'saved_model'
    """
    if name not in FORMATS:
        raise ValueError(
            f"Received format={name!r}; expected one of {', '.join(map(repr, FORMATS))}."
        )
    chosen = FORMATS[name]
    if backend not in chosen.writers:
        first, *others = chosen.writers
        also = f" (or {', '.join(others)})" if others else ""
        raise ValueError(
            f"The format {name!r} is not written by the Keras backend {backend!r}. "
            f"Set KERAS_BACKEND={first}{also}: a preset is the same on every backend."
        )
    _require(chosen.writers[backend], f"To write the format {name!r}", chosen.extra)
    return chosen


def check_runtime(name: str) -> ExportFormat:
    """The format of a name, where its runtime is installed.

    Raises:
        ImportError: it is not.
    """
    _require(FORMATS[name].runtime, f"To run the format {name!r}", FORMATS[name].extra)
    return FORMATS[name]


def _require(modules: tuple[str, ...], purpose: str, extra: str) -> None:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise ImportError(
            f"{purpose}, {' and '.join(missing)} must be installed: "
            f"`pip install 'keras_geneformer[{extra}]'`."
        )
