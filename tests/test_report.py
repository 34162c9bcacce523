"""The report: one file that fetches nothing and shows text as it was given."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from keras_geneformer.report import HtmlReport

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
HOSTILE = "<script>alert('x')</script> & \"<5%\""


class _Page(HTMLParser):
    """Tags that are open and not closed, all links, and the text."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.links, self.words, self.tags = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def report(tmp_path):
    (tmp_path / "dot.png").write_bytes(PNG)
    report = HtmlReport(HOSTILE, HOSTILE)
    report.section(HOSTILE)
    report.text(HOSTILE)
    report.facts({HOSTILE: HOSTILE})
    report.table(pd.DataFrame({HOSTILE: [HOSTILE], "number": [np.nan]}), caption=HOSTILE)
    report.picture(tmp_path / "dot.png", alt=HOSTILE, caption=HOSTILE)
    report.footer(HOSTILE)
    return report


def test_text_is_escaped_everywhere_and_every_tag_is_closed(report):
    page = _Page(report.html())
    assert page.open == []
    assert "script" not in page.tags
    assert sum(words == HOSTILE for words in page.words) == 12


def test_page_fetches_nothing_and_fits_a_phone(report):
    text = report.html()
    page = _Page(text)
    assert page.links
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not re.search(r"https?://|@import|url\(", text)
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in text


def test_table_rounds_numbers_and_shows_what_is_missing():
    report = HtmlReport("t")
    report.table(
        pd.DataFrame({"n": [3, 4], "share": [0.12345, np.nan], "name": ["a", None]}), digits=2
    )
    cells = re.findall(r"<td[^>]*>(.*?)</td>", report.html())
    assert cells == ["3", "0.12", "a", "4", "–", "–"]


def test_picture_must_be_a_png_and_the_page_is_written_whole(report, tmp_path):
    (tmp_path / "fake.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"shows png pictures, but .*fake\.png is not one"):
        report.picture(tmp_path / "fake.png", alt="")
    path = report.write(tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8") == report.html()
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
