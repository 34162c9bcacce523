"""The code on the pages of docs/, and how it is run.

Fences say what they hold. `python` runs in the order of the page, in one namespace; `sh` runs line
by line, `keras-geneformer` through its `main`; `text` and `json` are no code. What cannot run here
has a line before it that says why: `<!-- not run: it downloads 41 MB -->`.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"

LANGUAGES = {"python", "sh", "text", "json"}

_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fence of a page."""

    page: str
    line: int
    language: str
    code: str
    not_run: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Every page in docs/, by its path in there."""
    return sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def blocks_of(page: str) -> list[Block]:
    """The fences of a page, from the top."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        line = text[: match.start("code")].count("\n")
        found.append(Block(page, line, match["language"], match["code"], match["reason"]))
    return found


def run_page(page: str, **names: Any) -> dict[str, Any]:
    """Run the code of a page in the working directory, and return what its Python defined.

    Args:
        page: by its path in docs/.
        **names: what the page takes as given.
    """
    for block in blocks_of(page):
        if block.not_run is not None:
            continue
        if block.language == "python":
            # The line numbers of a traceback are those of the page.
            exec(compile("\n" * block.line + block.code, str(DOCS / page), "exec"), names)
        elif block.language == "sh":
            run_shell(block)
    return names


def run_shell(block: Block) -> None:
    """Run the lines of a block of shell."""
    from keras_geneformer.cli import main

    for line in block.code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        program, *arguments = words
        assert program == "keras-geneformer", f"{block} runs {program}, and does not say why not"
        assert main(arguments) == 0, f"{block}: {line}"
