"""What fine-tuning on genes leaves behind."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from keras_geneformer.models.gene_classifier import GeneformerGeneClassifier
from keras_geneformer.tokenization.genes.gene_list_report import GeneListReport


@dataclass(frozen=True)
class GeneResult:
    """What `finetune_genes` leaves behind."""

    model: GeneformerGeneClassifier
    """The classifier trained on all labelled genes; its `classes` name the scores."""
    predictions: pd.DataFrame
    """One row a labelled gene, scored by the model of the fold that held it out: `ensembl_id`,
    `symbol`, `true`, `fold`, `label` (predicted), `prob_<class>` (means over cells), `sd` (standard
    deviation over cells of the probability of `label`), `cells` (how many hold it). No row without
    folds."""
    folds: pd.DataFrame
    """One row a fold: `fold`, `genes` held out, `auc`, `accuracy` and `macro_f1` of their rows;
    with `published=True` also `position_auc` and `roc_points`. AUC of several classes is the mean
    of each against the rest."""
    summary: dict[str, float]
    """`auc_mean_of_folds`, `auc_sd_of_folds`, `auc_pooled`, `accuracy_pooled`, `macro_f1_pooled`
    (`gene_folds.summary_of` says of each how it is taken)."""
    genome: pd.DataFrame | None
    """One row a gene that was to be scored and has no label, scored by `model`: as `predictions`,
    without `true` and `fold`. None where none was asked for."""
    history: pd.DataFrame
    """One row a step: `fold` (0: the model trained on all labelled genes), `step`, `epoch`, `loss`,
    `accuracy`, `learning_rate`, and with `validation` the `validation_auc` of each epoch."""
    report: GeneListReport
    """What became of the genes of the list."""
    cells: int
    """Cells that were used, which hold a labelled gene each."""

    def text(self) -> str:
        """The figures in words, a line each, and what became of the list.

        Returns:
            Plain text, which says of every AUC how it was taken.
        """
        return "\n".join([*self._figures(), f"{self.cells} cells", self.report.text(most=10)])

    def _figures(self) -> list[str]:
        if self.folds.empty:
            return ["no genes were held out"]
        figures: Any = self.summary
        lines = [
            f"AUC {figures['auc_mean_of_folds']:.3f} ± {figures['auc_sd_of_folds']:.3f} (mean and "
            f"sd over {len(self.folds)} folds of genes); {figures['auc_pooled']:.3f} pooled over "
            f"all {len(self.predictions)} held-out genes",
            f"accuracy {figures['accuracy_pooled']:.3f}, macro-F1 "
            f"{figures['macro_f1_pooled']:.3f} (pooled)",
        ]
        if "published_auc_mean" in figures:
            lines.append(
                f"as published: AUC {figures['published_auc_mean']:.3f} ± "
                f"{figures['published_auc_sd']:.3f} (over positions of genes in cells, folds "
                "weighted by points of the ROC curve)"
            )
        return lines
