"""What our docstrings write otherwise than Markdown and griffe read them."""

import re

import griffe

_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)
_LIST = re.compile(r"^( *)(?![-*] )(\S.*)\n(?=\1[-*] )", re.MULTILINE)


class DocstringSections(griffe.Extension):
    """Read `Example:` as a section of examples, and a list that follows a line as a list."""

    def on_object(self, *, obj, **kwargs):
        """Rewrite the docstring of one object, before it is parsed."""
        if obj.docstring is not None:
            text = _EXAMPLE.sub("Examples:", obj.docstring.value)
            obj.docstring.value = _LIST.sub(r"\1\2\n\n", text)
