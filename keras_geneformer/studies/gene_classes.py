"""The classes of a gene list that a study tells apart."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from keras_geneformer.studies.study import Study

_LABELS = ("label", "class")


def genes_of_study(genes: Any, study: Study) -> tuple[Any, list[str]]:
    """A gene list without the classes that the study does not ask about.

    Args:
        genes: as `finetune_genes` takes them.
        study: the study; one without `classes`, or of which the list lacks one, takes all.

    Returns:
        The list, and a sentence for what was left out.

    Example:
        >>> from keras_geneformer.studies import named_study
        >>> genes = {"bivalent": ["PAX6"], "lys4_only": ["NBR1"], "no_methylation": ["IL4"]}
        >>> genes_of_study(genes, named_study("bivalent-promoters"))[1]
        ['The genes of no_methylation were left out: the study is of bivalent and lys4_only.']
    """
    if not study.classes:
        return genes, []
    if isinstance(genes, Mapping):
        found = list(genes)
        kept: Any = {name: genes[name] for name in study.classes if name in genes}
    else:
        table = _table(genes)
        column = next((name for name in _LABELS if table is not None and name in table), None)
        if table is None or column is None:
            return genes, []
        found = sorted(set(table[column].dropna()) - {""})
        kept = table[table[column].isin(study.classes)]
    others = [str(name) for name in found if name not in study.classes]
    if not others or not set(study.classes) <= set(found):
        return genes, []
    return kept, [
        f"The genes of {', '.join(others)} were left out: the study is of "
        f"{' and '.join(study.classes)}."
    ]


def _table(genes: Any) -> pd.DataFrame | None:
    """A gene list as a table; None of a kind that is left to `finetune_genes` to refuse."""
    if isinstance(genes, pd.DataFrame):
        return genes
    if not isinstance(genes, (str, os.PathLike)) or not Path(genes).is_file():
        return None
    path = Path(genes)
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix not in (".csv", ".tsv"):
        return None
    separator = "\t" if path.suffix == ".tsv" else ","
    return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
