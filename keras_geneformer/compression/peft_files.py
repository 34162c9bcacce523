"""Adapters as the `peft` package keeps them: adapter_config.json and adapter_model.safetensors."""

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_geneformer.conversion.checkpoint_files import canonical_keys, refuse_lfs_pointer
from keras_geneformer.conversion.safetensors_reading import SafetensorsFile
from keras_geneformer.conversion.table import Row, checkpoint_table
from keras_geneformer.conversion.torch_reading import TorchFile

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
TORCH_FILE = "adapter_model.bin"

_PREFIX = "base_model.model."
_ACCEPTED: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),
}
"""Values under which an adapter is B·A beside the base's own kernel, and nothing else.

Other initialisations (pissa, olora, corda, loftq) change the base's kernels too."""
_READ = ("r", "lora_alpha", "use_rslora", "alpha_pattern", "rank_pattern")
_IRRELEVANT = {
    *("task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
    *("inference_mode", "target_modules", "exclude_modules", "lora_dropout", "modules_to_save"),
    *("layers_to_transform", "layers_pattern", "megatron_core", "qalora_group_size"),
    *("runtime_config", "ensure_weight_tying", "loftq_config", "eva_config", "corda_config"),
    "lora_ga_config",
}
"""What says where adapters sit, which the names of their tensors say again, or how they learned."""


class PeftAdapter(NamedTuple):
    """One layer's adapter, as Keras has it: A (inputs x rank), B (rank x outputs) and alpha."""

    a: np.ndarray
    b: np.ndarray
    alpha: float


class PeftAdapters(NamedTuple):
    """What a directory of `peft` holds.

    Attributes:
        layers: adapters, by the path of our Dense layer.
        modules: whole tensors (`modules_to_save`), by the path of our variable.
        base: the model they stand beside, as the directory names it; None where it does not.
        task_type: `"SEQ_CLS"`, `"TOKEN_CLS"` or another; None where it is not said.
    """

    layers: dict[str, PeftAdapter]
    modules: dict[str, np.ndarray]
    base: str | None
    task_type: str | None


def read_peft(directory: Path) -> PeftAdapters:
    """Read adapters that the `peft` package saved.

    Args:
        directory: holds adapter_config.json, and adapter_model.safetensors or adapter_model.bin,
            which PyTorch's weights-only loader reads.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or the adapters do what is not understood here.
    """
    config = _read_config(directory / CONFIG_FILE)
    file = _weights(directory)
    names = canonical_keys(key.removeprefix(_PREFIX) for key in file.kinds)
    given = {key.removeprefix(_PREFIX): key for key in file.kinds}
    rows = {row.key: row for row in _rows(names)}
    pairs: dict[str, dict[str, np.ndarray]] = {}
    modules = {}
    for name, short in names.items():
        value = file.read(given[short])
        layer, found, letter = name.removesuffix(".weight").partition(".lora_")
        row = rows.get(f"{layer}.weight" if found else name)
        if row is None or (found and (letter not in ("A", "B") or not row.transposed)):
            raise ValueError(
                f"{file.path} holds {given[short]}, for which Geneformer has no place. Expected "
                "LoRA beside Dense layers, and whole heads (modules_to_save)."
            )
        if found:
            pairs.setdefault(layer, {})[letter] = value
        else:
            modules[row.path] = value.T if row.transposed else value
    layers = {
        rows[f"{layer}.weight"].path.removesuffix("/kernel"): _adapter(
            file.path, layer, pair, config
        )
        for layer, pair in pairs.items()
    }
    if not layers:
        raise ValueError(f"{file.path} holds no adapter. Save the adapters again.")
    return PeftAdapters(
        layers, modules, config.get("base_model_name_or_path"), config.get("task_type")
    )


def write_peft(
    directory: Path,
    adapters: dict[str, PeftAdapter],
    modules: dict[str, np.ndarray],
    bare: bool,
    base: str | None,
    task_type: str | None,
) -> None:
    """Write adapters as the `peft` package reads them.

    Args:
        directory: to write into.
        adapters: by the path of our Dense layer.
        modules: whole tensors, by the path of our variable.
        bare: whether they are of a `BertModel` by itself, whose keys lack `bert.`.
        base: the model they stand beside; None to leave it open.
        task_type: as `peft` names tasks.

    Raises:
        ValueError: an adapter or tensor is of a layer that `transformers` does not have.
    """
    from safetensors.numpy import save_file

    rows = _rows_of_paths([*adapters, *modules])

    def key_of(path: str) -> str:
        key = rows[path].key
        return key.removeprefix("bert.") if bare else key

    tensors, ranks, alphas = {}, {}, {}
    for path, adapter in adapters.items():
        name = key_of(f"{path}/kernel").removesuffix(".weight")
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = np.ascontiguousarray(adapter.a.T)
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = np.ascontiguousarray(adapter.b.T)
        ranks[name], alphas[name] = adapter.a.shape[1], adapter.alpha
    for path, value in modules.items():
        tensors[_PREFIX + key_of(path)] = np.ascontiguousarray(
            value.T if rows[path].transposed else value
        )
    rank, alpha = next(iter(ranks.values())), next(iter(alphas.values()))
    heads = {"pooler": "pooler", "scores": "classifier"}
    config = {
        "peft_type": "LORA",
        "task_type": task_type,
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {name: one for name, one in ranks.items() if one != rank},
        "alpha_pattern": {name: one for name, one in alphas.items() if one != alpha},
        "target_modules": sorted(ranks),
        "modules_to_save": sorted({heads[path.split("/")[0]] for path in modules}) or None,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "init_lora_weights": True,
        "inference_mode": True,
    }
    save_file(tensors, directory / WEIGHTS_FILE, metadata={"format": "pt"})
    (directory / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Copy the adapters again.") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds a {type(config).__name__}; expected a JSON object.")
    known = {*_ACCEPTED, *_READ, *_IRRELEVANT}
    odd = [key for key, value in config.items() if key not in known and value]
    odd += [key for key, accepted in _ACCEPTED.items() if config.get(key) not in accepted]
    if odd:
        shown = ", ".join(f"{key}={config.get(key)!r}" for key in sorted(odd))
        raise ValueError(
            f"{path} asks for {shown}, which is not understood here. Merge the adapters with peft "
            "(merge_and_unload), save the model and load that."
        )
    alpha: Any = config.get("lora_alpha")
    base, task = config.get("base_model_name_or_path"), config.get("task_type")
    sound = type(alpha) in (int, float) and math.isfinite(alpha) and alpha > 0
    if not sound or not isinstance(base or "", str) or not isinstance(task or "", str):
        raise ValueError(
            f"{path}: received lora_alpha={alpha!r}, base_model_name_or_path={base!r} and "
            f"task_type={task!r}; expected a number above 0 and texts. Copy the adapters again."
        )
    return config


def _weights(directory: Path) -> SafetensorsFile | TorchFile:
    for name, kind in ((WEIGHTS_FILE, SafetensorsFile), (TORCH_FILE, TorchFile)):
        path = directory / name
        if path.is_file():
            refuse_lfs_pointer(path)
            return kind(path)
    raise FileNotFoundError(
        f"There is no {WEIGHTS_FILE} or {TORCH_FILE} in {directory}. Copy them beside "
        f"{CONFIG_FILE}."
    )


def _adapter(
    path: Path, layer: str, pair: dict[str, np.ndarray], config: dict[str, Any]
) -> PeftAdapter:
    a, b = pair.get("A"), pair.get("B")
    if a is None or b is None or a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1] or not len(a):
        raise ValueError(
            f"{path} holds no A and B of one rank for {layer}. Save the adapters again."
        )
    rank = len(a)
    alpha = _alpha(layer, config)
    # Keras scales by alpha / rank, and rank-stabilised LoRA by alpha / sqrt(rank).
    return PeftAdapter(a.T, b.T, alpha * math.sqrt(rank) if config.get("use_rslora") else alpha)


def _alpha(layer: str, config: dict[str, Any]) -> float:
    patterns = config.get("alpha_pattern") or {}
    plain = isinstance(patterns, dict) and all(
        re.fullmatch(r"[\w.]+", name) and type(value) in (int, float) and value > 0
        for name, value in patterns.items()
    )
    if not plain:
        raise ValueError(
            f"{CONFIG_FILE} has alpha_pattern={patterns!r}; expected names of layers and numbers "
            "above 0. Merge the adapters with peft (merge_and_unload)."
        )
    for name, value in patterns.items():
        if layer == name or layer.endswith(f".{name}"):
            return value
    return config["lora_alpha"]


def _rows(keys: Iterable[str]) -> list[Row]:
    """The rows of every layer and head that adapters may stand beside."""
    found = [re.match(r"bert\.encoder\.layer\.(\d{1,4})\.", key) for key in keys]
    return _all_rows([int(match[1]) for match in found if match])


def _rows_of_paths(paths: Iterable[str]) -> dict[str, Row]:
    found = [re.match(r"encoder_block_(\d+)/", path) for path in paths]
    return {row.path: row for row in _all_rows([int(match[1]) for match in found if match])}


def _all_rows(blocks: list[int]) -> list[Row]:
    num_layers = max(blocks, default=-1) + 1
    heads = checkpoint_table(0, "masked_lm")[len(checkpoint_table(0, "backbone")) :]
    return checkpoint_table(num_layers, "cell_classifier") + heads


def places(paths: Iterable[str]) -> set[str]:
    """Which of our Dense layers, by path, `transformers` has too."""
    paths = list(paths)
    return set(paths) & {path.removesuffix("/kernel") for path in _rows_of_paths(paths)}
