"""The Keras backend: which one is used, and what to install when there is none."""

import importlib.util
import json
import logging
import os
import sys
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")
"""Backends that train and infer, in the order in which they are looked for."""

INFERENCE_BACKENDS = ("openvino",)
"""Backends that only infer."""

_logger = logging.getLogger(__name__)


def installed_backends() -> list[str]:
    """The backends that can be imported here, without importing them."""
    known = (*BACKENDS, *INFERENCE_BACKENDS)
    return [name for name in known if importlib.util.find_spec(name) is not None]


def require_backend() -> str:
    """Make sure that Keras will find its backend, and name it.

    The choice is Keras's own: `KERAS_BACKEND`, then `~/.keras/keras.json`, then TensorFlow. Only
    where neither setting is made and TensorFlow is missing does an installed backend take its
    place, with a line in the log that says so.

    Returns:
        The backend's name.

    Raises:
        ImportError: the chosen backend, or any backend at all, is not installed. The message names
            the extra to install.

    Example:
        >>> from keras_geneformer.backend import require_backend
        >>> require_backend() in ("tensorflow", "jax", "torch", "openvino")
        True
    """
    if "keras" in sys.modules:
        # Once imported, Keras cannot change its backend: report the one in force.
        config = getattr(sys.modules["keras"], "config", None)
        if config is not None:
            return str(config.backend())
    installed = installed_backends()
    chosen = os.environ.get("KERAS_BACKEND") or _configured_backend()
    if chosen:
        if chosen in (*BACKENDS, *INFERENCE_BACKENDS) and chosen not in installed:
            raise ImportError(
                f"The Keras backend is set to {chosen!r}, which is not installed (installed: "
                f"{', '.join(installed) or 'none'}). Install it with "
                f"`pip install 'keras_geneformer[{chosen}]'`, or set KERAS_BACKEND to another one."
            )
        return chosen
    trainable = [name for name in installed if name in BACKENDS]
    if not trainable:
        raise ImportError(
            "No Keras backend is installed, and models need one (tokenizing does not). Install one "
            "with `pip install 'keras_geneformer[tensorflow]'` (or [jax], or [torch])."
        )
    if trainable[0] != "tensorflow":
        _logger.warning("TensorFlow is not installed: using the Keras backend %r.", trainable[0])
    os.environ["KERAS_BACKEND"] = trainable[0]
    return trainable[0]


def _configured_backend() -> str | None:
    """The backend named in Keras's own configuration file, if there is one."""
    home = os.environ.get("KERAS_HOME")
    path = (Path(home) if home else Path.home() / ".keras") / "keras.json"
    try:
        return json.loads(path.read_text()).get("backend")
    except (OSError, ValueError):
        return None
