"""What a distillation refuses before any work is done."""

import math
from typing import Any

from keras_geneformer.compression.lora import refuse_adapters
from keras_geneformer.compression.quantized_layers import refuse_quantized
from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.training.finetuning.settings import FinetuneSettings

SETTINGS = (
    *("epochs", "batch_size", "learning_rate", "warmup", "decay", "weight_decay", "clip_norm"),
    *("layer_decay", "prune", "prune_schedule", "prune_end", "early_stopping", "deterministic"),
    "seed",
)
"""Those of `FinetuneSettings` that a student has."""


def student_settings(settings: dict[str, Any]) -> FinetuneSettings:
    """Those of `SETTINGS`; a ValueError of any other."""
    unknown = sorted(settings.keys() - set(SETTINGS))
    if unknown:
        raise ValueError(
            f"There is no setting {', '.join(map(repr, unknown))} of a student; expected some of "
            f"{', '.join(SETTINGS)}."
        )
    return FinetuneSettings(**settings)


def check_parts(temperature: float, soft: float, hard: float | None, hidden: float) -> None:
    """Refuse parts of the loss that are no numbers, or all 0."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"Received temperature={temperature}; expected a number above 0.")
    parts = {"soft": soft, "hard": hard or 0.0, "hidden": hidden}
    for name, value in parts.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"Received {name}={value}; expected a number of 0 or more.")
    if hard is not None and not any(parts.values()):
        raise ValueError("Received soft=0, hard=0 and hidden=0: there is nothing to learn.")


def check_teacher(teacher: Any, label_key: str | None) -> None:
    """Refuse a teacher without scores of genes or classes or exact weights, and unusable labels."""
    cells = isinstance(teacher, GeneformerCellClassifier) and teacher.task == "single-label"
    if not cells and not isinstance(teacher, GeneformerMaskedLM):
        raise ValueError(
            f"Received a {type(teacher).__name__} as the teacher; expected a GeneformerMaskedLM, "
            "or a GeneformerCellClassifier of single labels."
        )
    refuse_quantized(teacher, "a teacher, whose weights the student begins with")
    refuse_adapters(teacher, "a teacher")
    if label_key is not None and not cells:
        raise ValueError(
            f"Received label_key={label_key!r} for a masked LM, which learns from genes: leave it "
            "out."
        )
    if label_key is not None and teacher.classes is None:
        raise ValueError(
            f"Received label_key={label_key!r} for a teacher whose classes have no names: leave it "
            "out."
        )


def check_student(student: Any, teacher: Any) -> None:
    """Refuse a backbone of another vocabulary than the teacher's."""
    same = student.vocabulary_checksum in (None, teacher.vocabulary_checksum)
    if student.vocabulary_size != teacher.vocabulary_size or not (
        same or teacher.vocabulary_checksum is None
    ):
        raise ValueError(
            f"Received a student of a vocabulary of {student.vocabulary_size} tokens (checksum "
            f"{student.vocabulary_checksum}) for a teacher of {teacher.vocabulary_size} (checksum "
            f"{teacher.vocabulary_checksum}). Expected the same vocabulary."
        )


def check_cells(cells: Any, model: Any) -> None:
    """Refuse cells that a model would read as nonsense."""
    backbone = model.backbone
    check_vocabulary(
        cells,
        backbone.vocabulary_checksum,
        backbone.vocabulary_size,
        backbone.max_sequence_length,
        backbone.special_token_ids,
    )
