"""Studies that label genes."""

from typing import Any

from keras_geneformer.studies.study import Study

_PAPER = "Theodoris et al., Nature 618, 616 (2023)"

_PUBLISHED_TRAINING: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 12,
    "learning_rate": 5e-5,
    "warmup": 500,
    "freeze_layers": 4,
    "loss": "cross_entropy",
}
"""Of the original's notebook on gene classification."""

_ORIGINAL: dict[str, Any] = {
    "kind": "genes",
    "source": f"the original's notebook on gene classification; {_PAPER}",
    "judged": "area under the ROC curve, in five folds over genes: mean and sd of the folds, and "
    "over all held-out genes together. No gene is in two folds",
    "settings": _PUBLISHED_TRAINING,
    "options": {"folds": 5, "cells_used": 10000},
    "published_cells": 10000,
    "published_steps": 833,
}
_COURSE: dict[str, Any] = _ORIGINAL | {
    "source": "a course project's reimplementation of Geneformer; what it does not state is our "
    "default",
}
_SETTINGS_ONLY = f"{_PAPER}; settings of the original's notebook on gene classification"
_OF_OTHER_CELLS: dict[str, Any] = _ORIGINAL | {
    "source": _SETTINGS_ONLY,
    "options": {"folds": 5, "cells_used": None},
    "published_cells": None,
}
"""The 10,000 cells are those of dosage sensitivity."""
_NEEDS = "counts of any human cells that express the genes, {}; and a list of genes with classes "
_NEEDS += "(--genes)"
_DOSAGE: dict[str, Any] = {
    "needs": _NEEDS.format("as many as possible and of many tissues"),
    "label_key": "",
}

DOSAGE = Study(
    name="dosage-sensitivity",
    title="Dosage sensitivity of transcription factors",
    replicates="Which transcription factors are dosage sensitive, as a course project asked it: "
    "five frozen blocks, cross-entropy, 10,000 cells.",
    published={"auc_mean_of_folds": ".786 ± .100"},
    **(
        _COURSE
        | _DOSAGE
        | {
            "settings": {
                "epochs": 1,
                "batch_size": 24,
                "freeze_layers": 5,
                "loss": "cross_entropy",
            },
            "published_steps": None,
        }
    ),
)

DOSAGE_FOCAL = Study(
    name="dosage-sensitivity-focal",
    title="Dosage sensitivity of transcription factors, with focal loss",
    replicates="Which transcription factors are dosage sensitive, as a course project asked it "
    "again: four frozen blocks, focal loss, all cells.",
    published={"auc_mean_of_folds": ".841 ± .058"},
    **(
        _COURSE
        | _DOSAGE
        | {
            "settings": {"epochs": 1, "batch_size": 24, "freeze_layers": 4, "loss": "focal"},
            "options": {"folds": 5, "cells_used": None},
            "published_cells": None,
            "published_steps": None,
        }
    ),
)

DOSAGE_ORIGINAL = Study(
    name="dosage-sensitivity-original",
    title="Dosage sensitivity of transcription factors, as in the original",
    replicates="Which transcription factors are dosage sensitive, as the original's notebook asks "
    "it: four frozen blocks, one epoch, 10,000 cells.",
    published={"auc_mean_of_folds": ".914 ± .032"},
    **(_ORIGINAL | _DOSAGE),
)

NOTCH1 = Study(
    name="notch1-centrality",
    title="Central genes of the NOTCH1 network",
    replicates="Which genes are central in the network of NOTCH1, and which peripheral.",
    needs=_NEEDS.format("endothelial cells at best"),
    label_key="",
    **_OF_OTHER_CELLS,
)

BIVALENT = Study(
    name="bivalent-promoters",
    title="Bivalent chromatin",
    replicates="Which genes' promoters are bivalent in embryonic stem cells, and which are "
    "methylated at lysine 4 alone.",
    classes=("bivalent", "lys4_only"),
    needs=_NEEDS.format("embryonic stem cells at best"),
    label_key="",
    **_OF_OTHER_CELLS,
)

TF_RANGE = Study(
    name="tf-range",
    title="Long- and short-range transcription factors",
    replicates="Which transcription factors act over long distances, and which near promoters.",
    needs=_NEEDS.format("differentiating cardiomyocytes at best"),
    label_key="",
    **_OF_OTHER_CELLS,
)

GENE_STUDIES = (DOSAGE, DOSAGE_FOCAL, DOSAGE_ORIGINAL, NOTCH1, BIVALENT, TF_RANGE)
