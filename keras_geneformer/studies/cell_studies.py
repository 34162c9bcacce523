"""Studies that label cells."""

from typing import Any

from keras_geneformer.studies.study import Study

_PANCREAS: dict[str, Any] = {
    "kind": "cells",
    "needs": "counts of pancreatic cells, with their types in obs (cell_type, or --label-key); "
    "the study's own were 16,382 cells x 19,093 genes of 14 types, from several technologies",
    "judged": "accuracy and macro-F1 on a random tenth of the cells, which is easier than a new "
    "donor or technology: say --group-key to hold out whole ones",
    "published_cells": 16382,
}
_PANCREAS_TRAINING: dict[str, Any] = {
    "learning_rate": 8.04e-4,
    "decay": "polynomial",
    "warmup": 1812,
    "weight_decay": 0.258828,
    "batch_size": 8,
    "seed": 73,
    "loss": "cross_entropy",
}
_STEPS = 1843  # of an epoch: nine tenths of 16,382 cells, eight a batch

PANCREAS_BASELINE = Study(
    name="pancreas-baseline",
    title="Pancreas cell types: the baseline",
    replicates="The baseline of a course project on pancreas cell types: one learning block over "
    "five frozen ones, stopped within the first epoch.",
    source="a course project's reimplementation of Geneformer; its settings, as far as stated",
    settings=_PANCREAS_TRAINING | {"freeze_layers": 5, "epochs": 0.6},
    options={"test": 0.1, "validation": None},
    published_steps=1106,
    **_PANCREAS,
)

PANCREAS_ENHANCED = Study(
    name="pancreas-enhanced",
    title="Pancreas cell types: the enhanced run",
    replicates="The enhanced run of a course project on pancreas cell types: two frozen blocks, "
    "three epochs.",
    source="a course project's reimplementation of Geneformer; its settings, as far as stated. Its "
    "figures are of 12 classes",
    settings=_PANCREAS_TRAINING | {"freeze_layers": 2, "epochs": 3},
    options={"test": 0.1, "validation": None},
    published={"accuracy": ".979", "macro_f1": ".976"},
    published_steps=3 * _STEPS,
    **_PANCREAS,
)

PANCREAS_BEST = Study(
    name="pancreas-best",
    title="Pancreas cell types: our settings",
    replicates="The question of the course project on pancreas cell types, with our settings: all "
    "blocks learn, and validation cells choose the epoch and calibrate the probabilities.",
    source="our settings; the published figures are the course project's, of 12 classes",
    settings={
        "epochs": 10,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "pooling": "mean",
        "layer_decay": 0.9,
        "class_weights": "effective_number",
        "early_stopping": 4,
        "seed": 73,
    },
    options={"test": 0.1, "validation": 0.1},
    published={"accuracy": ".979", "macro_f1": ".976"},
    **_PANCREAS,
)

_EXPOSURE: dict[str, Any] = {
    "label_key": "condition",
    "settings": {"epochs": 5, "batch_size": 8, "learning_rate": 1e-3, "pooling": "mean"},
    "options": {"test": 0.2, "validation": 0.1},
}

EXPOSURE = Study(
    name="exposure",
    kind="cells",
    title="Which exposure a cell has had",
    replicates="Treated cells against control, one class an exposure: interferon-beta against "
    "control (Kang et al. 2018), or a receptor agonist against DMSO.",
    source="our settings; data of Kang et al., Nature Biotechnology 36, 89 (2018)",
    needs="counts of cells with their exposure in obs (condition, or --label-key), any number of "
    "them; several donors (--group-key) for a test on donors not seen",
    judged="accuracy and macro-F1 on a fifth of the cells, or with --group-key on whole donors",
    **_EXPOSURE,
)

PERTURB_THEN_PREDICT = Study(
    name="perturb-then-predict",
    kind="perturbation",
    title="From perturbed cells back to the exposure",
    replicates="Genes are deleted in silico in control cells, and a classifier of exposures is "
    "asked which exposure the perturbed cells now look like.",
    source="our settings; in silico deletion as in Theodoris et al., Nature 618, 616 (2023)",
    needs="as `exposure`; and the name of the control (--control)",
    judged="change of the probability of each exposure, gene by gene, over control cells: those "
    "that the classifier was not trained on, where they are 20 or more. It is what the classifier "
    "says, no measurement",
    **_EXPOSURE,
)

CARDIAC_STATE = Study(
    name="cardiac-state",
    kind="cells",
    title="Cardiac cell states",
    replicates="States of heart cells: days and sub-populations of differentiating iPSC "
    "cardiomyocytes; with a patient column it is the study of cardiomyopathy, by patient.",
    source="our settings; the question is that of Theodoris et al., Nature 618, 616 (2023), whose "
    "patients were split into training and test",
    needs="counts of heart cells with their state in obs (cell_type, or --label-key day, disease, "
    "...); the patients' column (--group-key patient) where there is one",
    judged="accuracy and macro-F1 on a tenth of the cells, or with --group-key on whole patients",
    settings={"epochs": 6, "batch_size": 8, "learning_rate": 1e-3, "pooling": "mean"},
    options={"test": 0.1, "validation": 0.1},
)

CELL_STUDIES = (
    PANCREAS_BASELINE,
    PANCREAS_ENHANCED,
    PANCREAS_BEST,
    EXPOSURE,
    PERTURB_THEN_PREDICT,
    CARDIAC_STATE,
)
