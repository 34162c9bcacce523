"""What a pretrained model came from: training.json for programs, README.md for people."""

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

import keras_geneformer

RECORD_FILE = "training.json"
CARD_FILE = "README.md"
_LAST = 100


def steps_averaged(steps: int) -> int:
    """Of how many steps, the last ones, the mean is called what training ended with.

    A tenth of the run, 100 at most: the beginning says nothing of the end.

    Args:
        steps: of the run.

    Example:
        >>> steps_averaged(3), steps_averaged(450), steps_averaged(9_000)
        (1, 45, 100)
    """
    return max(1, min(_LAST, steps // 10))


def training_record(
    name: str,
    *,
    model: Any,
    cells: Any,
    held: Any,
    vocabulary: Any,
    recipe: dict[str, Any],
    history: pd.DataFrame,
    seed: int,
    data: str | None = None,
    command: str | None = None,
    began_with: str | None = None,
    distribution: str | None = None,
) -> dict[str, Any]:
    """All that is known of a run, as plain values.

    Args:
        name: of the model.
        model: the trained `GeneformerMaskedLM`.
        cells: the `CellDataset` it was trained on.
        held: cells held out, or None.
        vocabulary: the `GeneVocabulary`.
        recipe: every setting, by name.
        history: of `pretrain`, one row a step.
        seed: of the run.
        data: what the dataset is called.
        command: what makes the model again.
        began_with: the model that training went on from; None for random weights.
        distribution: over what the run was spread; None for one device.

    Returns:
        A dict that JSON can hold.
    """
    backbone = model.backbone
    lengths = np.asarray(cells.lengths)
    return {
        "name": name,
        "command": command,
        "model": {
            "class": type(model).__name__,
            "began_with": began_with,
            "parameters": int(model.count_params()),
            "num_layers": backbone.num_layers,
            "num_heads": backbone.num_heads,
            "hidden_dim": backbone.hidden_dim,
            "intermediate_dim": backbone.intermediate_dim,
            "max_sequence_length": backbone.max_sequence_length,
        },
        "data": {
            "name": data,
            "cells": len(cells),
            "tokens": int(lengths.sum(dtype=np.int64)),
            "tokens_of_a_cell": {
                "least": int(lengths.min()),
                "median": float(np.median(lengths)),
                "most": int(lengths.max()),
            },
            "held_out_cells": 0 if held is None else len(held),
        },
        "vocabulary": {
            "version": vocabulary.version,
            "size": vocabulary.size,
            "checksum": vocabulary.checksum,
        },
        "recipe": recipe,
        "seed": seed,
        "run": {
            "steps": int(history["step"].iloc[-1]),
            "epochs": int(history["epoch"].iloc[-1]),
            "seconds": round(float(history["seconds"].iloc[-1]), 1),
        },
        "metrics": final_metrics(history),
        "hardware": hardware() | {"distribution": distribution},
        "versions": versions(),
    }


def final_metrics(history: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Where training ended.

    Args:
        history: of `pretrain`, one row a step.

    Returns:
        `train`: loss, accuracy and top5 as means over the last steps (`steps_averaged`).
        `validation`, where there was one: the last of each.

    Example:
        >>> history = pd.DataFrame({"loss": [2.0, 1.0], "validation_loss": [None, 1.5]})
        >>> final_metrics(history)
        {'train': {'loss': 1.0}, 'validation': {'loss': 1.5}}
    """
    names = [name for name in ("loss", "accuracy", "top5") if name in history]
    last = history.tail(steps_averaged(len(history)))
    metrics = {"train": {name: float(last[name].mean()) for name in names}}
    held = {
        str(name).removeprefix("validation_"): float(history[name].dropna().iloc[-1])
        for name in history.columns
        if str(name).startswith("validation_") and history[name].notna().any()
    }
    return metrics | ({"validation": held} if held else {})


def hardware() -> dict[str, Any]:
    """The system, and the devices that the backend sees, in words."""
    backend = keras.config.backend()
    devices: list[str] = []
    if backend == "jax":
        import jax

        devices = [device.device_kind for device in jax.devices()]
    elif backend == "tensorflow":
        import tensorflow as tf

        for device in tf.config.get_visible_devices("GPU"):
            details = tf.config.experimental.get_device_details(device)
            devices.append(details.get("device_name", "GPU"))
    elif backend == "torch":
        import torch

        devices = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    return {
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "devices": devices or [platform.machine() or "cpu"],
    }


def versions() -> dict[str, str]:
    """Of Python, Keras, its backend and this package."""
    backend = keras.config.backend()
    try:
        of_backend = importlib.metadata.version(backend)
    except importlib.metadata.PackageNotFoundError:
        # TensorFlow has distributions of other names, such as tensorflow-cpu.
        of_backend = str(getattr(importlib.import_module(backend), "__version__", "unknown"))
    return {
        "python": platform.python_version(),
        "keras_geneformer": keras_geneformer.__version__,
        "keras": keras.__version__,
        "backend": backend,
        backend: of_backend,
    }


def write_model_card(directory: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """Write training.json, and README.md with the front matter that the Hugging Face hub reads.

    Args:
        directory: of the preset.
        record: of `training_record`.
    """
    directory = Path(directory)
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    (directory / RECORD_FILE).write_text(text, encoding="utf-8")
    picture = (directory / "loss.png").is_file()
    (directory / CARD_FILE).write_text(model_card(record, picture), encoding="utf-8")


def model_card(record: dict[str, Any], picture: bool = False) -> str:
    """The text of the model card.

    Args:
        record: of `training_record`.
        picture: whether loss.png lies beside it.
    """
    model, data, run = record["model"], record["data"], record["run"]
    vocabulary, of_a_cell = record["vocabulary"], data["tokens_of_a_cell"]
    began = (
        f"Trained on from `{model['began_with']}`"
        if model["began_with"]
        else "Pretrained from random weights"
    )
    tags = ("keras", "biology", "single-cell", "transcriptomics", "geneformer")
    lines = [
        "---",
        "library_name: keras",
        "tags:",
        *(f"- {tag}" for tag in tags),
        "---",
        "",
        f"# {record['name']}",
        "",
        f"A Geneformer masked language model of {model['parameters']:,} parameters: "
        f"{_count(model['num_layers'], 'layer')}, {model['hidden_dim']} dim, "
        f"{_heads(model['num_heads'])}, cells of up to {model['max_sequence_length']} "
        f"tokens. {began} with keras_geneformer, recipe `{record['recipe']['name']}`.",
        "",
        "```python",
        "import keras_geneformer as kg",
        f'model = kg.GeneformerMaskedLM.from_preset("{record["name"]}")',
        "```",
        "",
        "## Data",
        "",
        f"{data['cells']:,} cells" + (f" of `{data['name']}`" if data["name"] else "") + ", "
        f"{data['tokens']:,} tokens ({of_a_cell['least']:,} to {of_a_cell['most']:,} a cell, "
        f"median {of_a_cell['median']:,.0f}); {data['held_out_cells']:,} cells held out. "
        f"Vocabulary {vocabulary['version']}, {vocabulary['size']:,} token ids, checksum "
        f"`{vocabulary['checksum']}`.",
        "",
        "## Result",
        "",
        _table(record["metrics"]),
        "",
        "Cross-entropy (nats) and shares over masked genes, mean of the last "
        f"{_count(steps_averaged(run['steps']), 'step')} in training"
        + (", all held-out cells in validation." if "validation" in record["metrics"] else "."),
        "",
        *(["![Loss](loss.png)", ""] if picture else []),
        "## Training",
        "",
        f"{_count(run['steps'], 'step')}, {_count(run['epochs'], 'epoch')}, "
        f"{_duration(run['seconds'])} on {_devices(record['hardware'])}. Seed {record['seed']}.",
        "",
        *(["```bash", record["command"], "```", ""] if record["command"] else []),
        "| setting | value |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in record["recipe"].items()),
        "",
        ", ".join(f"{name} {value}" for name, value in record["versions"].items())
        + ". All of this is in training.json as well.",
    ]
    return "\n".join(lines) + "\n"


def _heads(number: int | list[int]) -> str:
    """Of all blocks, or of each where they differ (`prune`)."""
    return _count(number, "head") if isinstance(number, int) else f"{_joined(number)} heads"


def _joined(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _table(metrics: dict[str, dict[str, float]]) -> str:
    names = list(dict.fromkeys(name for part in metrics.values() for name in part))
    rows = [["", *names], ["---"] * (len(names) + 1)]
    for part, values in metrics.items():
        rows.append([part, *(f"{values[n]:.4f}" if n in values else "" for n in names)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _devices(hardware: dict[str, Any]) -> str:
    names = hardware["devices"]
    counted = [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    words = f"{', '.join(counted)} ({hardware['processors']} processors, {hardware['platform']})"
    return words + (f", {hardware['distribution']}" if hardware["distribution"] else "")


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    first = next((i for i, (value, _) in enumerate(parts) if value), 2)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2])
