"""Every link on a page leads somewhere, as GitHub reads it and as the site does."""

import importlib.util
import re
from pathlib import Path

import pytest
from page_code import DOCS, PROJECT, pages

LINK = re.compile(r"\]\((?![a-z]+:)([^)\s#]*)(#[^)\s]+)?\)")


def _hook(name):
    path = DOCS / "hooks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _prose(path):
    """The text without its code, where brackets are no links."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "`code`", text)


def _anchors(path):
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", title.lower()) for title in titles]
    return {title.strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", ["../README.md", *pages()])
def test_every_link_of_a_page_leads_somewhere(page):
    path = DOCS / page
    for target, anchor in LINK.findall(_prose(path)):
        # Pages of the reference are read in the site, where notebooks are pages.
        target = re.sub(r"notebooks/(\w+)\.md", r"../notebooks/\1.ipynb", target)
        leads_to = (path.parent / target).resolve() if target else path
        assert leads_to.is_file(), f"{page}: {target}"
        if anchor and leads_to.suffix == ".md":
            assert anchor[1:] in _anchors(leads_to), f"{page}: {target}{anchor}"


def test_links_between_files_become_links_between_pages():
    pages_of = _hook("repository_pages")
    text = (
        "[a](../benchmarks/README.md#batches) [b](../notebooks/01_quickstart.ipynb) [c](model.md)"
    )
    assert pages_of.with_links_to_pages(text, "analysis.md") == (
        "[a](benchmarks.md#batches) [b](notebooks/01_quickstart.md) [c](model.md)"
    )
    assert pages_of.with_links_to_pages("[a](../docs/images/x.png)", "benchmarks.md") == (
        "[a](images/x.png)"
    )
    assert pages_of.with_links_to_pages("[a](../docs/model.md)", "notebooks/x.md") == (
        "[a](../model.md)"
    )
    code = "[`sizes.py`](../keras_geneformer/models/sizes.py), [it](../README.md)"
    assert pages_of.with_links_to_pages(code, "model.md") == "`sizes.py`, [it](index.md)"
    elsewhere = "[a](https://x.org/y.md) [b](#here) [c](model.md) [d](../nowhere.md)"
    assert pages_of.with_links_to_pages(elsewhere, "analysis.md") == elsewhere


def test_pages_from_elsewhere_are_there():
    for source in _hook("repository_pages").PAGES:
        assert (PROJECT / source).is_file()


def test_a_notebook_becomes_a_page():
    outputs = [
        {"output_type": "stream", "text": ["\x1b[31mred\x1b[0m\n"]},
        {"output_type": "display_data", "data": {"image/png": "AAEC", "text/plain": "a"}},
        {"output_type": "execute_result", "data": {"text/html": "<b>\n\nx</b>", "text/plain": "x"}},
        {"output_type": "error", "ename": "ValueError", "evalue": "no"},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": "print('```')", "outputs": outputs},
        {"cell_type": "code", "source": [], "outputs": []},
    ]
    page, pictures = _hook("notebook_pages").page_of({"cells": cells}, "n")
    assert page == (
        "# Title\ntext\n\n````python\nprint('```')\n````\n\n```text\nred\n```\n\n"
        "![Picture that this code draws](n-1-1.png)\n\n<div>\n<b>\nx</b>\n</div>\n\n"
        "```text\nValueError: no\n```\n"
    )
    assert pictures == {"n-1-1.png": b"\x00\x01\x02"}


def test_the_list_of_pages_names_every_page_and_every_notebook():
    text = (PROJECT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"^ +- ([\w./-]+\.md)$", text, re.MULTILINE))
    elsewhere = _hook("repository_pages").PAGES.values()
    expected = {*pages(), *(page for page in elsewhere if page.endswith(".md"))}
    found = {f"notebooks/{path.stem}.md" for path in Path(PROJECT, "notebooks").glob("*.ipynb")}
    assert listed - expected == {page for page in listed if page.startswith("notebooks/")}
    assert expected | found <= listed
