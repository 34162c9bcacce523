"""Reading one file of `torch.save`, a tensor at a time, without executing any of it."""

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from keras_geneformer.conversion.safetensors_reading import TensorKind
from keras_geneformer.conversion.table import TIED_KEYS

_MAPPED_BYTES = 128 * 2**20
"""Pages of a mapped file count as this process's memory until it is mapped anew."""


class TorchFile:
    """The tensors of one file of `torch.save`, each read when it is asked for.

    PyTorch's weights-only loader reads it, which builds tensors and nothing else. The file is
    mapped into memory, so that what it says of its tensors is known before any is read.

    Args:
        path: the file, a state dict.

    Attributes:
        kinds: key to `TensorKind`, in the order of the file.

    Raises:
        ImportError: PyTorch is not installed.
        ValueError: the file is truncated, holds anything but dense tensors by name, or its tensors
            are larger than itself.

    Example:
        `TorchFile("pytorch_model.bin").read("bert.embeddings.word_embeddings.weight")`
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        # Files from before PyTorch 1.6 are no zip archives, and cannot be mapped.
        self._mapped = zipfile.is_zipfile(self.path)
        self._state = self._load()
        self._read = 0
        self.kinds = {key: self._kind(key, value) for key, value in self._state.items()}
        held = sum(kind.nbytes for key, kind in self.kinds.items() if key not in TIED_KEYS)
        size = self.path.stat().st_size
        if held > size:
            raise ValueError(
                f"{self.path} has {size} bytes and claims tensors of {held}. It is damaged or made "
                "to exhaust memory: download it again from where you trust it."
            )

    def read(self, key: str) -> np.ndarray:
        """One tensor; float16, bfloat16 and float64 come as float32."""
        if self._mapped and self._read > _MAPPED_BYTES:
            self._state, self._read = self._load(), 0
        self._read += self.kinds[key].nbytes
        value = self._state[key].detach()
        return (value.float() if value.is_floating_point() else value).numpy()

    def _load(self) -> dict[str, Any]:
        try:
            import torch
        except ImportError as error:
            raise ImportError(
                f"Reading {self.path} needs PyTorch: `pip install 'keras_geneformer[torch]'`. A "
                "model.safetensors is read without."
            ) from error
        if self._mapped:
            self._refuse_compressed()
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True, mmap=self._mapped)
        # What a damaged or hostile file fails with is open; the cause is kept.
        except Exception as error:
            raise ValueError(
                f"{self.path} cannot be read as a file of tensors alone ({_first_line(error)}). It "
                "is truncated, or holds Python objects, which are never executed here."
            ) from error
        if not isinstance(state, dict) or not all(
            isinstance(key, str) and torch.is_tensor(value) for key, value in state.items()
        ):
            raise ValueError(f"{self.path} holds no state dict: expected tensors by name.")
        return state

    def _refuse_compressed(self) -> None:
        # `torch.save` compresses nothing; a file that does would be larger in memory than on disk.
        with zipfile.ZipFile(self.path) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise ValueError(
                    f"{self.path} cannot be read as a file of tensors alone (it is compressed, as "
                    "torch.save writes none). Download it again."
                )

    def _kind(self, key: str, value: Any) -> TensorKind:
        dtype = str(value.dtype).removeprefix("torch.")
        number = value.is_floating_point() or dtype in ("bool", "uint8") or dtype.startswith("int")
        layout = str(value.layout).removeprefix("torch.")
        if layout != "strided" or value.device.type != "cpu" or not number or "8_" in dtype:
            raise ValueError(
                f"{self.path}: {key} is a tensor of dtype {dtype} and layout {layout} on "
                f"{value.device.type}; expected dense numbers. Save the checkpoint in float32."
            )
        return TensorKind(tuple(value.shape), dtype, value.numel() * value.element_size())


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"
