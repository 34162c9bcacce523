"""Studies of what moves cells from one state towards another."""

from keras_geneformer.studies.study import Study

DIFFERENTIATION = Study(
    name="differentiation",
    kind="states",
    title="Genes that move cells from one state towards another",
    replicates="Genes are deleted and overexpressed in silico in cells of a start state, to find "
    "those that move these cells towards a goal and not towards alternatives: asked of "
    "cardiomyopathy and of differentiating cardiomyocytes, and of autism and DEAF1 in the brain.",
    source="our settings; the question and the shift are those of Theodoris et al., Nature 618, "
    "616 (2023)",
    needs="counts of cells with their state in obs (cell_type, or --label-key day, disease, ...), "
    "and which value of it is the start (--start) and which the goal (--goal); further states "
    "(--alternatives), a gene list (--genes), donors (--group-key) where there are some",
    judged="the shift of the cosine between a cell and the goal, against genes that stand at like "
    "ranks in as many cells (FDR below .05, and beyond these genes' means). It is what the "
    "pretrained model says of its own states, no measurement",
    options={"kinds": ("delete", "overexpress"), "cells": 100, "genes": 500, "detected": 0.1},
)

STATE_STUDIES = (DIFFERENTIATION,)
