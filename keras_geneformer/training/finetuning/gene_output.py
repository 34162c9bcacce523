"""The directory that fine-tuning on genes writes."""

import json
import os
from typing import Any

from keras_geneformer.models.preset_format import is_replaceable
from keras_geneformer.tokenization.publishing import publish_directory


def write_gene_output(result: Any, output: str | os.PathLike, vocabulary: Any) -> None:
    """Write the classifier's preset and its tables, all at once or not at all.

    Args:
        result: a `GeneResult`.
        output: the directory; an earlier preset there is replaced.
        vocabulary: the `GeneVocabulary`, which is kept in the preset.
    """
    with publish_directory(output, is_replaceable) as partial:
        result.model.save_to_preset(partial, vocabulary=vocabulary)
        result.history.to_csv(partial / "history.csv", index=False)
        if not result.folds.empty:
            result.predictions.to_csv(partial / "genes.csv", index=False)
            result.folds.to_csv(partial / "folds.csv", index=False)
        if result.genome is not None:
            result.genome.to_csv(partial / "genome.csv", index=False)
        summary = result.summary | {"cells": result.cells, "genes": result.report.taken}
        (partial / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        (partial / "gene_list.txt").write_text(result.report.text() + "\n")
