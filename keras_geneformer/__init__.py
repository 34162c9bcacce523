"""Geneformer in Keras 3: counts become tokens, tokens become batches, batches go through a model.

The public names, section by section. Each is imported at its first use, so that
`import keras_geneformer` loads no backend, and tokenizing needs none.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_CONTENTS: dict[str, dict[str, str]] = {
    "tokenization": {
        "GeneVocabulary": "genes.vocabulary",
        "read_gene_classes": "genes.gene_lists",
        "GeneMedians": "medians.gene_medians",
        "fit_medians": "medians.median_fitting",
        "Orthologs": "genes.orthologs",
        "RankValueTokenizer": "tokenizer",
        "CellDataset": "cells.dataset",
        "tokenize_sentences": "sentences.cell_sentences",
        "tokenize_sentence_files": "sentences.cell_sentences",
        "cell_sentences": "sentences.sentence_export",
        "write_cell_sentences": "sentences.sentence_export",
        "RankModel": "sentences.rank_model",
        "fit_rank_model": "sentences.rank_model",
        "round_trip_correlation": "sentences.rank_model",
    },
    "data": {
        "BatchSource": "batch_source",
        "CellBatches": "loader",
        "grain_batches": "grain_batches",
        "tensorflow_batches": "tensorflow_batches",
    },
    "compression": {
        "quantize": "quantization",
        "is_quantized": "quantized_layers",
        "add_lora": "lora",
        "merge_lora": "lora",
        "save_adapters": "adapter_files",
        "load_adapters": "adapter_files",
    },
    "models": {
        "GeneformerBackbone": "backbone",
        "GeneformerMaskedLM": "masked_lm",
        "GeneformerCellClassifier": "cell_classifier",
        "GeneformerGeneClassifier": "gene_classifier",
        "GeneformerMultiTaskClassifier": "multitask_classifier",
        "convert_checkpoint": "converting",
        "export_to_transformers": "published_export",
        "verify_checkpoint": "verification",
        "upload_preset": "uploading",
    },
    "training": {
        "pretrain": "pretraining",
        "prune": "pruning.structured",
        "distill": "distilling.distillation",
        "run_recipe": "recipes.running",
        "named_recipe": "recipes",
        "finetune_cells": "finetuning.cell_finetuning",
        "finetune_genes": "finetuning.gene_finetuning",
        "predict_genes": "finetuning.gene_prediction",
        "predict": "finetuning.prediction",
        "finetune_multitask": "finetuning.multitask_finetuning",
        "predict_tasks": "finetuning.multitask_prediction",
    },
    "analysis": {
        "batch_effects": "batch_effects",
        "embed_cells": "cell_embedding",
        "embed_genes": "gene_embedding",
        "embed_states": "state_embedding",
        "perturb": "perturbation.perturbing",
        "perturbation_stats": "statistics.perturbation_statistics",
        "gene_set_enrichment": "statistics.gene_set_enrichment",
        "perturb_merge": "perturbation.merging",
        "read_effects": "perturbation.effect_reading",
        "attention_by_gene": "attention.by_gene",
        "attention_heads": "attention.heads",
        "attention_rollout": "attention.rollout",
        "attention_weights": "attention.weights",
        "gene_network": "networks",
    },
    "evaluation": {
        "cross_validate": "cross_validation",
        "compare": "comparison",
        "search": "search",
    },
    "exporting": {
        "export_model": "exported_model",
        "load_exported": "runtimes",
    },
    "studies": {
        "run_study": "running",
    },
    "examples": {
        "example_counts": "example_counts",
    },
}

_HOME = {
    name: f"{__name__}.{section}.{module}"
    for section, names in _CONTENTS.items()
    for name, module in names.items()
}

_MODULES = ("keras_hub", "plotting", "sklearn", "studies")
"""Modules that `import keras_geneformer` alone is enough for: `keras_geneformer.sklearn`, say."""

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
