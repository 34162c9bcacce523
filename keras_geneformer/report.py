"""A report that is one HTML file: pictures inside it, nothing fetched, readable on a phone."""

import base64
import html
from pathlib import Path

import pandas as pd

__all__ = ["HtmlReport"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2430; --quiet: #5b6475; --paper: #fff;
  --card: #f5f6f8; --rule: #dfe3e9; --accent: #332288; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9ee; --quiet: #a4adbd; --paper: #14161b;
  --card: #1e2128; --rule: #343945; --accent: #a9b8ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 3rem; max-width: 46rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .4rem 0 .3rem; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 2.4rem 0 .6rem; padding-top: .9rem;
  border-top: 1px solid var(--rule); }
.lead { color: var(--quiet); margin: 0 0 1.2rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.2rem, 1fr)); gap: .6rem;
  margin: 1rem 0; padding: 0; }
.facts div { background: var(--card); border-radius: .6rem; padding: .6rem .75rem; }
.facts dt { color: var(--quiet); font-size: .82rem; line-height: 1.3; }
.facts dd { margin: 0; font-size: 1.25rem; font-weight: 650; color: var(--accent); }
figure { margin: 1rem 0; }
img { display: block; max-width: 100%; width: 34rem; height: auto; background: #fff;
  border: 1px solid var(--rule); border-radius: .5rem; }
figcaption, caption { color: var(--quiet); font-size: .88rem; text-align: left; }
figcaption { padding: .35rem .1rem 0; }
caption { padding: 0 .1rem .35rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--rule); text-align: left;
  vertical-align: top; }
th { font-weight: 600; border-bottom-width: 2px; }
td.number, th.number { text-align: right; white-space: nowrap; }
footer { margin-top: 3rem; color: var(--quiet); font-size: .85rem; }
"""


class HtmlReport:
    """Collects headings, text, tables and pictures, and writes them as one HTML file.

    The file needs nothing else: styles are inside it, pictures are data URIs, and there is no
    script. Everything given as text is escaped, so labels such as `<5%` show as they are.

    Args:
        title: the heading of the page.
        lead: one or two sentences below it.

    Example:
        >>> import pandas as pd
        >>> from keras_geneformer.report import HtmlReport
        >>> report = HtmlReport("Cells", "Seven hundred of them.")
        >>> report.section("Accuracy")
        >>> report.table(pd.DataFrame({"method": ["ours"], "accuracy": [0.8]}))
        >>> "<h2>Accuracy</h2>" in report.html()
        True
    """

    def __init__(self, title: str, lead: str = "") -> None:
        self.title = title
        self._parts: list[str] = [f"<h1>{html.escape(title)}</h1>"]
        if lead:
            self._parts.append(f'<p class="lead">{html.escape(lead)}</p>')

    def section(self, heading: str) -> None:
        """Begins a section."""
        self._parts.append(f"<h2>{html.escape(heading)}</h2>")

    def text(self, *paragraphs: str) -> None:
        """Adds paragraphs of plain text."""
        self._parts += [f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs]

    def facts(self, facts: dict[str, str]) -> None:
        """Adds a row of cards, a short value below the name of each."""
        cards = "".join(
            f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
            for name, value in facts.items()
        )
        self._parts.append(f'<dl class="facts">{cards}</dl>')

    def table(self, frame: pd.DataFrame, *, caption: str = "", digits: int = 3) -> None:
        """Adds a table, which scrolls sideways by itself where the screen is narrow.

        Args:
            frame: its columns are shown, its index is not (`reset_index()` shows it).
            caption: above the table.
            digits: decimals of floating-point columns; missing values show as a dash.
        """
        numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes]
        css = [' class="number"' if number else "" for number in numeric]
        head = "".join(
            f"<th{mark}>{html.escape(str(name))}</th>" for name, mark in zip(frame.columns, css)
        )
        rows = "".join(
            "<tr>" + "".join(f"<td{m}>{_shown(v, digits)}</td>" for v, m in zip(row, css)) + "</tr>"
            for row in frame.itertuples(index=False, name=None)
        )
        above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
        self._parts.append(
            f'<div class="wide"><table>{above}<thead><tr>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )

    def picture(self, path: str | Path, *, alt: str, caption: str = "") -> None:
        """Puts a png file into the page.

        Args:
            path: the png; it is read now and not needed afterwards.
            alt: what the picture shows, for those who cannot see it.
            caption: below the picture.

        Raises:
            ValueError: if the file is not a png.
            FileNotFoundError: if there is no such file.
        """
        content = Path(path).read_bytes()
        if not content.startswith(b"\x89PNG"):
            raise ValueError(f"a report shows png pictures, but {path} is not one")
        data = base64.b64encode(content).decode("ascii")
        below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        self._parts.append(
            f'<figure><img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
            f"{below}</figure>"
        )

    def footer(self, text: str) -> None:
        """Adds a closing line in small type."""
        self._parts.append(f"<footer>{html.escape(text)}</footer>")

    def html(self) -> str:
        """The whole page as text."""
        body = "\n".join(self._parts)
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
            f"<body>\n{body}\n</body>\n</html>\n"
        )

    def write(self, path: str | Path) -> Path:
        """Writes the page beside `path` and renames it; returns `path`."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.partial")
        beside.write_text(self.html(), encoding="utf-8")
        return beside.replace(path)


def _shown(value: object, digits: int) -> str:
    """One table cell as escaped text."""
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return html.escape(str(value))
