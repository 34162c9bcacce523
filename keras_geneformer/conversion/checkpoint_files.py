"""Reading the tensors of a published checkpoint, safely."""

import os
from pathlib import Path
from typing import Any

import numpy as np

LFS_HEADER = b"version https://git-lfs.github.com/spec/"


def read_checkpoint(directory: str | Path) -> dict[str, np.ndarray]:
    """Every tensor of model.safetensors, or else of pytorch_model.bin.

    Args:
        directory: folder of a `transformers` checkpoint.

    Returns:
        Tensors by PyTorch key. float16 and bfloat16 come as float32, which holds them exactly.

    Raises:
        FileNotFoundError: neither file is there.
        ValueError: the file is a Git-LFS pointer, truncated, or holds anything but tensors.
        ImportError: the checkpoint is a pytorch_model.bin and PyTorch is not installed.
    """
    directory = Path(directory)
    safetensors, torch_file = directory / "model.safetensors", directory / "pytorch_model.bin"
    if safetensors.is_file():
        refuse_lfs_pointer(safetensors)
        return _read_safetensors(safetensors)
    if torch_file.is_file():
        refuse_lfs_pointer(torch_file)
        return _read_torch(torch_file)
    found = ", ".join(sorted(os.listdir(directory))) if directory.is_dir() else "no such directory"
    raise FileNotFoundError(
        f"{directory} holds neither model.safetensors nor pytorch_model.bin (found: {found}). "
        "Download the weights beside config.json."
    )


def refuse_lfs_pointer(path: Path) -> None:
    """Raise a ValueError where `path` is a Git-LFS pointer instead of the file it stands for."""
    with open(path, "rb") as file:
        if file.read(len(LFS_HEADER)) == LFS_HEADER:
            raise ValueError(
                f"{path} is a Git-LFS pointer, not the file itself. Run `git lfs pull` where the "
                "repository was cloned, or download the file from the hub."
            )


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    import ml_dtypes  # noqa: F401  # NumPy knows bfloat16 from then on
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as safetensors ({error}). It may be truncated: download it "
            "again."
        ) from error
    return {key: _as_float32(value) for key, value in tensors.items()}


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"Reading {path} needs PyTorch: `pip install 'keras_geneformer[torch]'`. A "
            "model.safetensors is read without."
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as a file of tensors alone ({_first_line(error)}). It is "
            "truncated, or holds Python objects, which are never executed here."
        ) from error
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise ValueError(f"{path} holds no state dict: expected tensors by name.")
    return {
        key: (value.float() if value.is_floating_point() else value).detach().numpy()
        for key, value in state.items()
    }


def _as_float32(value: np.ndarray) -> np.ndarray:
    # Integer buffers (position_ids) stay as they are.
    return value if value.dtype.kind in "iub" else value.astype(np.float32, copy=False)


def _first_line(error: BaseException) -> str:
    text: Any = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"
