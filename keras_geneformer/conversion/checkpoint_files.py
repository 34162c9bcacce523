"""The tensors of a published checkpoint, in whatever files they lie."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from keras_geneformer.conversion.safetensors_reading import SafetensorsFile, TensorKind
from keras_geneformer.conversion.table import Shapes
from keras_geneformer.conversion.torch_reading import TorchFile

LFS_HEADER = b"version https://git-lfs.github.com/spec/"

_FILES: tuple[tuple[str, type[SafetensorsFile] | type[TorchFile]], ...] = (
    ("model.safetensors", SafetensorsFile),
    ("pytorch_model.bin", TorchFile),
)


class _TensorFile(Protocol):
    path: Path
    kinds: dict[str, TensorKind]

    def read(self, key: str) -> np.ndarray: ...


class CheckpointTensors(Mapping[str, np.ndarray]):
    """Arrays by PyTorch key, each read from its file when it is asked for.

    Args:
        places: for each key its file, and the key by which the file knows it.

    Attributes:
        shapes, dtypes: key to shape and to name of dtype, known without reading a tensor.
        files: paths of the files.

    Example:
        >>> import tempfile
        >>> from safetensors.numpy import save_file
        >>> directory = Path(tempfile.mkdtemp())
        >>> save_file({"cls.predictions.bias": np.ones(3)}, directory / "model.safetensors")
        >>> tensors = read_checkpoint(directory)
        >>> tensors.shapes, tensors["cls.predictions.bias"].dtype
        ({'cls.predictions.bias': (3,)}, dtype('float32'))
    """

    def __init__(self, places: Mapping[str, tuple[_TensorFile, str]]):
        self._places = dict(places)
        self.shapes: Shapes = {key: file.kinds[name].shape for key, (file, name) in places.items()}
        self.dtypes = {key: file.kinds[name].dtype for key, (file, name) in places.items()}
        self.files = sorted({file.path for file, _ in places.values()})

    def __getitem__(self, key: str) -> np.ndarray:
        file, name = self._places[key]
        return file.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def read_checkpoint(directory: str | os.PathLike[str]) -> CheckpointTensors:
    """The tensors of model.safetensors, or else of pytorch_model.bin, whole or in shards.

    Args:
        directory: folder of a `transformers` checkpoint. Shards are those that
            model.safetensors.index.json or pytorch_model.bin.index.json names.

    Returns:
        Tensors by PyTorch key, as `BertForMaskedLM` and its like have them: without the `module.`
        of `torch.nn.DataParallel`, and with the `bert.` that a bare `BertModel` lacks. float16 and
        bfloat16 come as float32, which holds them exactly.

    Raises:
        FileNotFoundError: no such file is there, or a shard is missing.
        ValueError: a file is a Git-LFS pointer, truncated, or holds anything but tensors; the index
            names a file elsewhere, or is not that of its shards.
        ImportError: the checkpoint is a pytorch_model.bin and PyTorch is not installed.
    """
    directory = Path(directory)
    for name, kind in _FILES:
        path, index = directory / name, directory / f"{name}.index.json"
        if path.is_file():
            refuse_lfs_pointer(path)
            return _tensors([kind(path)])
        if index.is_file():
            return _tensors(_shards(index, kind))
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


def canonical_keys(keys: Iterable[str]) -> dict[str, str]:
    """The keys that the table knows, for those of a checkpoint.

    Args:
        keys: of a checkpoint.

    Returns:
        Key without `module.`, with `bert.`, to key as it was.

    Example:
        >>> list(canonical_keys(["module.embeddings.LayerNorm.bias", "module.pooler.dense.bias"]))
        ['bert.embeddings.LayerNorm.bias', 'bert.pooler.dense.bias']
    """
    keys = list(keys)
    parallel = all(key.startswith("module.") for key in keys)
    names = {key.removeprefix("module.") if parallel else key: key for key in keys}
    if any(name.startswith("bert.") for name in names):
        return names
    bare = ("embeddings.", "encoder.", "pooler.")
    return {f"bert.{name}" if name.startswith(bare) else name: key for name, key in names.items()}


def _tensors(files: Iterable[_TensorFile]) -> CheckpointTensors:
    places = {key: file for file in files for key in file.kinds}
    return CheckpointTensors(
        {name: (places[key], key) for name, key in canonical_keys(places).items()}
    )


def _shards(
    index: Path, kind: type[SafetensorsFile] | type[TorchFile]
) -> list[SafetensorsFile | TorchFile]:
    """The files that an index names, each of which holds what it says."""
    refuse_lfs_pointer(index)
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        sound = isinstance(places, dict) and all(isinstance(name, str) for name in places.values())
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{index} is no index of shards ({type(error).__name__}: {error}). Download it again."
        ) from error
    if not sound or not places:
        raise ValueError(
            f"{index} is no index of shards: expected weight_map to name the file of each tensor. "
            "Download it again."
        )
    # All names are judged before any file is opened.
    paths = {name: _shard(index, name) for name in sorted(set(places.values()))}
    files = []
    for name, path in paths.items():
        refuse_lfs_pointer(path)
        file = kind(path)
        expected = {key for key, place in places.items() if place == name}
        if file.kinds.keys() != expected:
            odd = sorted(file.kinds.keys() ^ expected)
            raise ValueError(
                f"{path} holds other tensors than {index.name} says: {', '.join(odd[:4])}"
                f"{' and more' if len(odd) > 4 else ''}. Download the shards and the index of one "
                "revision."
            )
        files.append(file)
    return files


def _shard(index: Path, name: str) -> Path:
    """The path of a shard; its name comes from the internet."""
    plain = name not in ("", ".", "..") and not set(name) & set("/\\:\0")
    path = index.parent / name
    if not plain or not _stays_in(path, index.parent):
        raise ValueError(
            f"{index} names the shard {name!r}; expected the plain name of a file beside it. No "
            "file elsewhere is read: download the checkpoint from where you trust it."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; {index.name} names it. Download all shards beside it."
        )
    return path


def _stays_in(path: Path, directory: Path) -> bool:
    """Whether no symbolic link leads out of a directory, or of the hub's cache where it is one."""
    target, directory = path.resolve(), directory.resolve()
    if target.is_relative_to(directory):
        return True
    # The cache keeps a file as REPOSITORY/snapshots/COMMIT/PATH, a link into REPOSITORY/blobs.
    commit = next(
        (at for at in (directory, *directory.parents) if at.parent.name == "snapshots"), None
    )
    return commit is not None and target.is_relative_to(commit.parent.parent / "blobs")
