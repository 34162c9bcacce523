"""Notebooks as pages: their text, code and stored outputs, turned into Markdown, never executed.

As Markdown their links are checked, their words are searched and their code is coloured like those
of any other page.
"""

import base64
import json
import re
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def on_files(files, config):
    """Add a page for each notebook, and the pictures in its outputs."""
    from mkdocs.structure.files import File  # not needed to read notebooks, as tests do

    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        markdown, pictures = page_of(notebook, path.stem)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=markdown))
        for name, picture in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=picture))
    return files


def page_of(notebook: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """The page of a notebook.

    Args:
        notebook: as its file holds it (nbformat 4).
        name: prefix of the files of its pictures.

    Returns:
        The Markdown, and the pictures that it shows, by file name.

    Example:
        >>> cell = {"cell_type": "code", "source": ["1 + 1"], "outputs": [
        ...     {"output_type": "execute_result", "data": {"text/plain": ["2"]}}]}
        >>> print(page_of({"cells": [cell]}, "sums")[0])
        ```python
        1 + 1
        ```
        <BLANKLINE>
        ```text
        2
        ```
        <BLANKLINE>
    """
    blocks, pictures = [], {}
    for number, cell in enumerate(notebook["cells"]):
        source = _text(cell["source"])
        if not source.strip():
            continue
        if cell["cell_type"] != "code":
            blocks.append(source)
            continue
        blocks.append(_fenced(source, "python"))
        for place, output in enumerate(cell["outputs"]):
            block, picture = _shown(output, f"{name}-{number}-{place}.png")
            blocks.append(block)
            pictures.update(picture)
    return "\n\n".join(blocks) + "\n", pictures


def _shown(output: dict[str, Any], picture: str) -> tuple[str, dict[str, bytes]]:
    """An output as Markdown, and the picture in it."""
    if output["output_type"] == "stream":
        return _fenced(_text(output["text"]), "text"), {}
    if output["output_type"] == "error":
        return _fenced(f"{output['ename']}: {output['evalue']}", "text"), {}
    data = output["data"]
    if "image/png" in data:
        content = base64.b64decode(_text(data["image/png"]))
        return f"![Picture that this code draws]({picture})", {picture: content}
    if "text/html" in data:
        # A blank line would end the block of HTML.
        lines = [line for line in _text(data["text/html"]).splitlines() if line.strip()]
        return "<div>\n" + "\n".join(lines) + "\n</div>", {}
    if "text/markdown" in data:
        return _text(data["text/markdown"]), {}
    return _fenced(_text(data["text/plain"]), "text"), {}


def _fenced(text: str, language: str) -> str:
    text = _ANSI.sub("", text).rstrip("\n")
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _text(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)
