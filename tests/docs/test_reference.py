"""The reference holds every public name, at the place where it is defined."""

import ast
import re

import pytest
from page_code import DOCS, PROJECT

import keras_geneformer as kg

ENTRY = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)


def entries(page):
    return ENTRY.findall((DOCS / "reference" / f"{page}.md").read_text(encoding="utf-8"))


def listed(path):
    """`__all__` of a file, which is not imported: that would load what it needs."""
    for statement in ast.parse((PROJECT / path).read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and statement.targets[0].id == "__all__":
            return ast.literal_eval(statement.value)
    raise AssertionError(f"{path} has no __all__")


@pytest.mark.parametrize("section", kg._CONTENTS)
def test_every_public_name_of_a_section_stands_on_its_page(section):
    expected = [kg._HOME[name] + f".{name}" for name in kg._CONTENTS[section]]
    assert [entry for entry in expected if entry not in entries(section)] == []


@pytest.mark.parametrize("module", ["plotting", "keras_hub"])
def test_every_name_of_a_module_stands_on_its_page(module):
    names = listed(f"keras_geneformer/{module}/__init__.py")
    assert [entry.rsplit(".", 1)[1] for entry in entries(module)] == names


def test_what_else_is_public_stands_there():
    assert entries("sklearn") == ["keras_geneformer.sklearn.CellClassifier"]
    code = (PROJECT / "keras_geneformer" / "testing.py").read_text(encoding="utf-8")
    functions = [node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
    public = [name for name in functions if not name.startswith("_")]
    assert entries("testing") == [f"keras_geneformer.testing.{name}" for name in public]
    assert "keras_geneformer.studies.named_study" in entries("studies")


def test_every_entry_is_defined_where_it_is_said_to_be():
    for page in (DOCS / "reference").glob("*.md"):
        for entry in entries(page.stem):
            module, name = entry.rsplit(".", 1)
            path = PROJECT / (module.replace(".", "/") + ".py")
            if not path.is_file():
                path = path.with_suffix("") / "__init__.py"
            body = ast.parse(path.read_text(encoding="utf-8")).body
            defined = {node.name for node in body if hasattr(node, "name")}
            assert name in defined, f"{page.name}: {entry}"
