"""Genes as the command line takes them: names with commas, or a file."""

from pathlib import Path

_COLUMNS = ("ensembl_id", "gene", "gene_name", "symbol")


def named_genes(text: str) -> str | list[str]:
    """The genes of `--genes`.

    Args:
        text: `all`; names with commas; or the path of a file: a `.csv` or `.tsv` with one of the
            columns ensembl_id, gene, gene_name and symbol, or else a gene a line.

    Raises:
        FileNotFoundError: it looks like a file, and there is none.
        ValueError: the file has no such column, or no genes.

    Example:
        >>> named_genes("GATA4, TBX5")
        ['GATA4', 'TBX5']
    """
    path = Path(text)
    if not path.is_file():
        if path.suffix in (".csv", ".tsv", ".txt"):
            raise FileNotFoundError(f"no genes at {text}; expected names with commas, or a file")
        if text == "all":
            return "all"
        return _checked([name.strip() for name in text.split(",")], f"--genes {text!r}")
    if path.suffix not in (".csv", ".tsv"):
        lines = path.read_text(encoding="utf-8").splitlines()
        return _checked([line.strip() for line in lines if not line.startswith("#")], text)
    import pandas as pd

    separator = "\t" if path.suffix == ".tsv" else ","
    table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
    for column in _COLUMNS:
        if column in table:
            return _checked([name.strip() for name in table[column]], text)
    raise ValueError(
        f"{text} has columns {', '.join(map(str, table.columns))}; expected ensembl_id, gene, "
        "gene_name or symbol"
    )


def _checked(names: list[str], source: str) -> list[str]:
    genes = list(dict.fromkeys(name for name in names if name))
    if not genes:
        raise ValueError(f"{source} names no genes")
    return genes
