"""The studies that were done with Geneformer, as recipes for data that you give."""

from keras_geneformer.studies.cell_studies import CELL_STUDIES
from keras_geneformer.studies.gene_studies import GENE_STUDIES
from keras_geneformer.studies.state_studies import STATE_STUDIES
from keras_geneformer.studies.study import Study

__all__ = ["STUDIES", "Study", "named_study"]

STUDIES: dict[str, Study] = {
    study.name: study for study in (*CELL_STUDIES, *GENE_STUDIES, *STATE_STUDIES)
}
"""Every study, by name."""


def named_study(name: str) -> Study:
    """The study of that name.

    Raises:
        ValueError: there is none.

    Example:
        >>> named_study("tf-range").kind
        'genes'
    """
    if name not in STUDIES:
        raise ValueError(f"there is no study {name!r}; expected one of {', '.join(STUDIES)}")
    return STUDIES[name]
