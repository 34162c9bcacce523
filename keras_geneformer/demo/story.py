"""The report of the demonstration: figures, tables, and words that follow from the numbers."""

import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import keras_geneformer
from keras_geneformer import demo, plotting
from keras_geneformer.demo.comparison import pretraining_verdict, score_table, verdict
from keras_geneformer.report import HtmlReport
from keras_geneformer.training.metrics import confusion_table


def write_story(
    directory: Path,
    findings: Any,
    labels: np.ndarray,
    true: np.ndarray,
    predicted: dict[str, np.ndarray],
    test_names: pd.Index,
    began: float,
) -> str:
    """Writes figures, tables and report.html.

    Args:
        directory: where to.
        findings: tables and numbers of the stages; `scores` and `top_genes` are added.
        labels: cell type of every cell.
        true: cell type of the test cells.
        predicted: by method, the type each test cell was given.
        test_names: names of the test cells.
        began: `time.monotonic()` when the demonstration began.

    Returns:
        The findings in a few sentences.
    """
    tables, numbers = findings.tables, findings.numbers
    tables["scores"] = score_table(true, predicted)
    tables["predictions"] = pd.DataFrame({"true": true, **predicted}, index=test_names)
    classes = sorted(set(labels))
    tables["confusion"] = confusion_table(true, predicted[demo.PRETRAINED], classes)
    tables["top_genes"] = top_genes(tables["perturbation"])
    words = _words(findings, labels, true, predicted)
    _draw(directory, findings, labels)
    for name, table in tables.items():
        plain = name in ("scores", "pretraining", "finetuning", "perturbation", "top_genes")
        table.to_csv(directory / f"{name}.csv", index=not plain)

    report = HtmlReport(
        "keras_geneformer, from counts to cell types",
        f"{len(labels)} real blood cells went through {demo.PRESET}, trained further on this "
        f"machine, in {_minutes(time.monotonic() - began)}. {words['verdict']}",
    )
    best = tables["scores"].iloc[0]
    loss = tables["pretraining"]["validation_loss"].dropna()
    report.facts(
        {
            "cells": f"{len(labels)}",
            "weights": f"{numbers['parameters']:,}",
            "hidden-gene loss": f"{loss.iloc[0]:.2f} → {loss.iloc[-1]:.2f}",
            "best accuracy": f"{best['accuracy']:.3f}",
        }
    )
    report.section("The cells")
    report.text(*words["cells"])
    report.section("Pretraining further")
    report.text(words["pretraining"])
    report.picture(
        directory / "loss.png",
        alt="Loss of guessing hidden genes, falling with the training steps",
        caption="Bold: running mean over training steps. Dots: the cells held out.",
    )
    report.section("Naming cell types")
    report.text(words["verdict"], words["worth"], words["fairness"])
    shown = tables["scores"].assign(
        range=[f"{row.low:.2f}–{row.high:.2f}" for row in tables["scores"].itertuples()]
    )
    report.table(
        shown[["method", "accuracy", "range", "macro_f1"]],
        caption=f"On {len(true)} test cells; range: 95 % bootstrap interval of the accuracy.",
    )
    report.picture(
        directory / "confusion.png",
        alt="Confusion matrix of the fine-tuned model on the test cells",
        caption=f"{demo.PRETRAINED}, then fine-tuned. Rows are the labels in the file.",
    )
    report.section("The embedding")
    report.text(words["embedding"])
    report.picture(
        directory / "umap.png",
        alt="UMAP of the cell embeddings, coloured by cell type",
        caption="Mean of the hidden states before the last block, before any label was seen.",
    )
    report.section("Deleting genes")
    report.text(words["deleting"])
    report.picture(
        directory / "top_genes.png",
        alt="Genes whose deletion moves the cell embedding most, by cell type",
    )
    report.table(tables["top_genes"].round(5), digits=5)
    report.section("What is in this folder")
    report.text(
        f"Tables: {', '.join(f'{name}.csv' for name in sorted(tables))}. Figures: loss.png, "
        "confusion.png, umap.png, top_genes.png.",
        "cells.dataset holds the tokenized cells; pretrained and classifier are models, each with "
        "its vocabulary. `keras-geneformer embed cells.dataset --model pretrained --output "
        "cells.h5ad` works on them.",
    )
    report.section("How long it took")
    report.table(
        pd.DataFrame({"stage": list(findings.seconds), "seconds": list(findings.seconds.values())}),
        digits=1,
    )
    report.footer(_provenance(numbers["seed"]))
    report.write(directory / "report.html")
    return "\n".join([words["pretraining"], words["verdict"], words["worth"]])


def top_genes(effects: pd.DataFrame, number: int = 8) -> pd.DataFrame:
    """The genes whose deletion moves the cells of a type most, on average.

    Args:
        effects: `cell_type`, `cell`, `gene`, `shift`.
        number: genes a type.

    Returns:
        `cell_type`, `gene`, `cells` (in which the gene was there to delete) and `shift` (mean).
        Genes of at least half of the type's cells are ranked, so that one cell alone decides
        nothing.
    """
    rows = []
    for cell_type, of_type in effects.groupby("cell_type", sort=True):
        grouped = of_type.groupby("gene")["shift"].agg(["size", "mean"])
        grouped = grouped[grouped["size"] * 2 >= of_type["cell"].nunique()]
        grouped = grouped.sort_values("mean", ascending=False, kind="stable").head(number)
        rows.append(
            pd.DataFrame(
                {
                    "cell_type": cell_type,
                    "gene": grouped.index,
                    "cells": grouped["size"].to_numpy(),
                    "shift": grouped["mean"].to_numpy(),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def _draw(directory: Path, findings: Any, labels: np.ndarray) -> None:
    tables = findings.tables
    plotting.loss_curve(
        tables["pretraining"],
        directory / "loss.png",
        baseline=findings.numbers["guess"],
        baseline_label="guessing by frequency:",
        title="Pretraining further: guessing hidden genes",
        ylabel="cross-entropy (nats)",
    )
    plotting.embedding_map(
        tables["umap"],
        pd.Series(labels, index=tables["umap"].index),
        directory / "umap.png",
        title="Cells by what the pretrained model makes of them",
    )
    plotting.confusion_matrix(
        tables["confusion"], directory / "confusion.png", title="Cell types of the test cells"
    )
    plotting.gene_bars(
        tables["top_genes"],
        directory / "top_genes.png",
        value="shift",
        group="cell_type",
        number=len(tables["top_genes"]),
        title="Genes whose deletion moves a cell most",
        xlabel="1 − cosine to the cell as it was (mean)",
    )


def _words(
    findings: Any, labels: np.ndarray, true: np.ndarray, predicted: dict[str, np.ndarray]
) -> dict[str, Any]:
    tables, numbers = findings.tables, findings.numbers
    vocabulary = numbers["vocabulary"]
    loss = tables["pretraining"]["validation_loss"].dropna()
    guess, last = numbers["guess"], loss.iloc[-1]
    learned = (
        f"{guess - last:.2f} nats below it: it has learned which genes go with which"
        if last < guess - 0.05
        else "no better than that: it has learned nothing from the company of a gene"
    )
    accuracy = dict(zip(tables["scores"]["method"], tables["scores"]["accuracy"]))
    chance = pd.Series(true).value_counts(normalize=True).iloc[0]
    top = tables["top_genes"].groupby("cell_type")["gene"].apply(lambda genes: list(genes)[:4])
    trained = len(numbers["training"])
    shape = numbers["shape"]
    return {
        "cells": (
            f"{len(labels)} peripheral blood cells of {len(set(labels))} labelled types, with 765 "
            "selected genes (Zheng et al. 2017, 10x Genomics; the file pbmc68k_reduced that comes "
            "with scanpy). The file holds logarithms, not counts. Within each cell they are "
            "multiples of one smallest value, a count of 1 scaled by 10,000 / n_counts; the counts "
            "were recovered from that, exactly, before tokenizing.",
            f"{trained} cells were for training and {len(true)} were kept for the test, in equal "
            f"shares of every type. The vocabulary is that of {demo.PRESET}: {len(vocabulary):,} "
            f"genes with their nonzero medians in other cells, {numbers['known']} of the 765 among "
            "them. A cell became a list of its genes, the relatively highest first, cut at "
            f"{numbers['longest']} of the {int(np.median(numbers['genes_a_cell']))} that are "
            "detected in the median cell. "
            "The labels are noisy: they were given by similarity to sorted cells.",
        ),
        "pretraining": (
            f"{demo.PRESET} ({shape['num_layers']} blocks of width {shape['hidden_dim']}, which "
            "comes with the package and was pretrained on some five thousand cells, none of these) "
            f"saw the training cells without labels and guessed hidden genes, "
            f"{numbers['mask_rate']:.0%} of each cell. Guessing by how often each gene stands at "
            "about that rank, knowing how genes are hidden and which are in sight, costs "
            f"{guess:.2f} nats a gene on the test cells. The model went from "
            f"{loss.iloc[0]:.2f} after the first pass to {last:.2f}, {learned}."
        ),
        "verdict": verdict(true, predicted),
        "worth": pretraining_verdict(true, predicted[demo.PRETRAINED], predicted[demo.RANDOM]),
        "fairness": (
            f"All methods learned from the same {trained} cells and were judged on the same test "
            "cells, which none saw with labels. The settings of the Geneformer models were chosen "
            "with an eye on such test cells (logistic regression is scikit-learn's default), so "
            "their scores and what pretraining gains are somewhat flattered. Fine-tuning kept a "
            "tenth of its training cells to choose the best epoch. Naming the commonest type every "
            "time would be right in "
            f"{chance:.0%} of cells. The published models learned from 30 or 104 million cells "
            "before fine-tuning; this one saw a few thousand, so these scores say how the software "
            "works, not how good Geneformer is."
        ),
        "embedding": (
            "Each cell is a vector, made without any label. By the labels of its 15 nearest "
            f"training cells, {accuracy[demo.NEIGHBOURS]:.0%} of test cells are named rightly."
        ),
        "deleting": (
            f"In {tables['perturbation']['cell'].nunique()} test cells each gene was deleted in "
            f"turn, {len(tables['perturbation'])} deletions in all, and the fine-tuned model asked "
            "how far the cell moved. "
            + "; ".join(f"{name}: {', '.join(genes)}" for name, genes in top.items())
            + " moved them most. Part of that is rank: without a gene, all below it move up by "
            "one, so genes at the top move a cell more. With so small a model this is a sketch of "
            "the method, not a finding about these genes."
        ),
    }


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def _provenance(seed: int) -> str:
    import keras

    return (
        f"keras_geneformer {keras_geneformer.__version__}, Keras {keras.__version__} on "
        f"{keras.config.backend()}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"seed {seed}."
    )
