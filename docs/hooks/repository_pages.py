"""Pages of the site that lie elsewhere in the repository, and the links between them.

A link in a page is written as GitHub reads it, from the file's own folder. Where file and page lie
at different places, it is rewritten. Of one to a file of code, which is no page, the text stays.
One that leads nowhere is left as it is, and fails the strict build.
"""

import os.path
import re
from pathlib import Path, PurePosixPath

REPOSITORY = Path(__file__).resolve().parents[2]

PAGES = {
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
    "weights/geneformer_mini/README.md": "geneformer-mini.md",
    "weights/geneformer_mini/loss.png": "images/geneformer-mini-loss.png",
}
"""Files of the repository, and where they stand in the site."""

_LINK = re.compile(
    r"(?P<text>!?\[(?:[^\[\]]|\[[^\[\]]*\])*\])\((?![a-z]+:|#|/)(?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)"
)


def on_files(files, config):
    """Add the pages that are not in docs/."""
    from mkdocs.structure.files import File  # not needed to rewrite links, as tests do

    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(REPOSITORY / source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Rewrite links between files of the repository to links between pages."""
    return with_links_to_pages(markdown, page.file.src_uri)


def with_links_to_pages(markdown: str, page: str) -> str:
    """The text of a page, its links to files of the repository rewritten to links between pages.

    Args:
        markdown: as the file holds it.
        page: where it stands in the site.

    Example:
        >>> with_links_to_pages("[how](../benchmarks/README.md#batches)", "analysis.md")
        '[how](benchmarks.md#batches)'
    """
    folder = PurePosixPath(repository_path(page)).parent

    def rewritten(match):
        source = os.path.normpath((folder / match["target"]).as_posix())
        found = site_path(source)
        if found is not None:
            target = os.path.relpath(found, PurePosixPath(page).parent).replace(os.sep, "/")
            return f"{match['text']}({target}{match['anchor'] or ''})"
        if (REPOSITORY / source).is_file() and not source.startswith(".."):
            return match["text"].removeprefix("[").removesuffix("]")
        return match[0]

    return _LINK.sub(rewritten, markdown)


def repository_path(page: str) -> str:
    """Where the file of a page lies in the repository.

    Example:
        >>> repository_path("benchmarks.md"), repository_path("notebooks/01_quickstart.md")
        ('benchmarks/README.md', 'notebooks/01_quickstart.ipynb')
    """
    elsewhere = {page: source for source, page in PAGES.items()}
    if page.startswith("notebooks/"):
        return str(PurePosixPath(page).with_suffix(".ipynb"))
    return elsewhere.get(page, f"docs/{page}")


def site_path(source: str) -> str | None:
    """Where a file of the repository stands in the site; None where it does not.

    Example:
        >>> site_path("docs/images/demo-umap.png"), site_path("notebooks/01_quickstart.ipynb")
        ('images/demo-umap.png', 'notebooks/01_quickstart.md')
    """
    if source == "README.md":
        return "index.md"
    if source in PAGES:
        return PAGES[source]
    if source.startswith("docs/"):
        return source.removeprefix("docs/")
    if source.startswith("notebooks/") and source.endswith(".ipynb"):
        return str(PurePosixPath(source).with_suffix(".md"))
    return None
