"""What our config.json of a `transformers` checkpoint says beyond what `transformers` knows.

`transformers` carries entries along that it does not know, and writes them again. So a model that
was fine-tuned there still knows its vocabulary when it comes back.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_CHECKSUM = re.compile(r"[0-9a-f]{64}")


def own_entries(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The entries, from the arguments of a backbone; without those that are unknown.

    Example:
        >>> own_entries({"special_token_ids": (0, 1), "vocabulary_checksum": None})
        {'special_token_ids': [0, 1]}
    """
    entries: dict[str, Any] = {}
    if arguments["special_token_ids"]:
        entries["special_token_ids"] = list(arguments["special_token_ids"])
    if arguments["vocabulary_checksum"] is not None:
        entries["vocabulary_checksum"] = arguments["vocabulary_checksum"]
    return entries


def own_tasks(tasks: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The entry with the tasks of a multi-task model, in the order of its heads.

    Example:
        >>> own_tasks({"disease": ["no", "yes"]})
        {'tasks': [{'name': 'disease', 'classes': ['no', 'yes']}]}
    """
    # A list: `transformers` sorts the keys of what it writes.
    return {"tasks": [{"name": name, "classes": list(classes)} for name, classes in tasks.items()]}


def tasks_of_own_entry(config: Mapping[str, Any]) -> dict[str, list[str]] | None:
    """For each task the names of its classes; None where the entry is not there.

    Raises:
        ValueError: the entry is none that we write.
    """
    entry = config.get("tasks")
    if entry is None:
        return None
    tasks = entry if isinstance(entry, list) else [entry]
    if not all(map(_is_task, tasks)) or len({task["name"] for task in tasks}) < len(tasks):
        raise ValueError(
            f"config.json: received tasks {entry!r}; expected a list of tasks of unlike names, "
            'each as {"name": "disease", "classes": ["no", "yes"]}. Write the checkpoint again.'
        )
    return {task["name"]: task["classes"] for task in tasks}


def _is_task(task: Any) -> bool:
    if not isinstance(task, dict) or task.keys() != {"name", "classes"}:
        return False
    named = isinstance(task["name"], str) and isinstance(task["classes"], list)
    return named and all(isinstance(name, str) for name in task["classes"])


def arguments_of_own_entries(config: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a backbone, from the entries that are there.

    Raises:
        ValueError: an entry is none that we write.

    Example:
        >>> arguments_of_own_entries({"vocab_size": 9, "special_token_ids": [0, 1]})
        {'special_token_ids': (0, 1)}
    """
    arguments: dict[str, Any] = {}
    if (ids := config.get("special_token_ids")) is not None:
        whole = isinstance(ids, list) and all(type(token) is int for token in ids)
        if not whole or not all(0 <= token < config["vocab_size"] for token in ids):
            raise ValueError(
                f"config.json: received special_token_ids {ids!r}; expected token ids below "
                f"vocab_size {config['vocab_size']}. Write the checkpoint again."
            )
        arguments["special_token_ids"] = tuple(ids)
    if (checksum := config.get("vocabulary_checksum")) is not None:
        if not isinstance(checksum, str) or not _CHECKSUM.fullmatch(checksum):
            raise ValueError(
                f"config.json: received vocabulary_checksum {checksum!r}; expected a sha256 of 64 "
                "hexadecimal digits. Write the checkpoint again."
            )
        arguments["vocabulary_checksum"] = checksum
    return arguments
