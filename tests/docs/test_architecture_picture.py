"""The picture of the folders shows those that there are."""

import xml.etree.ElementTree as ElementTree

from page_code import DOCS, PROJECT

PICTURE = DOCS / "images" / "architecture.svg"
SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_shows_every_folder_and_no_other():
    package = PROJECT / "keras_geneformer"
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    texts = ElementTree.parse(PICTURE).getroot().iter(f"{SVG}text")
    shown = [text.text for text in texts if text.get("class") == "folder"]
    assert len(shown) == len(set(shown))
    assert set(shown) == folders
