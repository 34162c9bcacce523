"""The messages that the page on troubleshooting quotes are those that the package prints."""

import ast
import re

from page_code import DOCS, PROJECT


def _text(node):
    """A string of the code, with … for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
    return None


def test_every_quoted_message_is_in_the_code():
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^### `(.+)`$", page, re.MULTILINE)
    assert len(quoted) >= 15
    longest = [max(message.split(), key=len) for message in quoted]
    strings = set()
    for path in (PROJECT / "keras_geneformer").rglob("*.py"):
        code = path.read_text(encoding="utf-8")
        if any(word in code for word in longest):  # parsing all files takes seconds
            strings |= {_text(node) for node in ast.walk(ast.parse(code))}
    strings.discard(None)
    assert [m for m in quoted if not any(m in text for text in strings)] == []
