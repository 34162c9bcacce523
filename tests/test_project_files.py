"""The files around the package: one version, a licence, and few lines for who wants to help."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import keras_geneformer

ROOT = Path(__file__).resolve().parent.parent


def test_the_version_stands_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "keras_geneformer/__init__.py"
    version = keras_geneformer.__version__
    assert importlib.metadata.version("keras_geneformer") == version
    others = [ROOT / "pyproject.toml", ROOT / "CITATION.cff", ROOT / "mkdocs.yml"]
    assert [path.name for path in others if f'"{version}"' in path.read_text()] == []
    assert re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_the_licence_is_apache_everywhere():
    assert (
        "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text()
    )
    assert importlib.metadata.metadata("keras_geneformer")["License-Expression"] == "Apache-2.0"
    assert "\nlicense: Apache-2.0\n" in (ROOT / "CITATION.cff").read_text()


def test_contributing_is_seven_lines_and_names_targets_that_exist():
    lines = (ROOT / "CONTRIBUTING.md").read_text().splitlines()
    assert [line[:2] for line in lines] == [f"{number}." for number in range(1, 8)]
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))
    commands = re.findall(r"`make ([^`]+)`", "\n".join(lines))
    assert commands
    assert {name for command in commands for name in command.split()} <= targets


def test_the_makefile_explains_each_target():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.M)) - {"help"}
    explained = re.findall(r'^\t@echo "(.*)"$', makefile, re.M)
    assert {
        name for name in targets if not any(f"make {name}" in line for line in explained)
    } == set()
