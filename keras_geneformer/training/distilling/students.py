"""Students: smaller models that begin with some of their teacher's blocks."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_geneformer.models.backbone import GeneformerBackbone
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier


def chosen_blocks(layers: int | Sequence[int], num_layers: int) -> tuple[int, ...]:
    """Blocks of the teacher that a student begins with.

    Args:
        layers: how many, spread evenly from the first to the last; or their numbers, from 1.
        num_layers: blocks of the teacher.

    Returns:
        Their numbers, from 1, ascending.

    Raises:
        ValueError: none, more than there are, or a number that is no block's or comes twice.

    Example:
        >>> chosen_blocks(3, 6), chosen_blocks(1, 6), chosen_blocks([2, 5], 6)
        ((1, 4, 6), (1,), (2, 5))
    """
    if not isinstance(layers, Sequence):
        if not 1 <= layers <= num_layers:
            raise ValueError(
                f"Received layers={layers}; the teacher has {num_layers} blocks: expected 1 to "
                f"{num_layers}, or their numbers."
            )
        places = np.linspace(1, num_layers, int(layers)).round().astype(int)
        return tuple(places.tolist())
    chosen = tuple(int(number) for number in layers)
    if (
        not chosen
        or sorted(set(chosen)) != list(chosen)
        or not 1 <= chosen[0] <= chosen[-1] <= num_layers
    ):
        raise ValueError(
            f"Received layers={list(chosen)}; expected numbers of blocks from 1 to {num_layers}, "
            "ascending, each once."
        )
    return chosen


def shallower(teacher: Any, blocks: Sequence[int]) -> GeneformerBackbone:
    """A backbone with the embeddings of another and some of its blocks, copied.

    Args:
        teacher: a `GeneformerBackbone`.
        blocks: which, from 1.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> shallower(tiny_backbone(), [1, 3]).num_layers
        2
    """
    config = teacher.get_config() | {
        "num_layers": len(blocks),
        "num_heads": [teacher.block_heads[number - 1] for number in blocks],
        "intermediate_dim": [teacher.block_intermediate_dims[number - 1] for number in blocks],
        "head_dim": teacher.head_dim,
    }
    student = GeneformerBackbone.from_config(config)
    names = {"embeddings": "embeddings"}
    names |= {
        f"encoder_block_{place}": f"encoder_block_{number - 1}"
        for place, number in enumerate(blocks)
    }
    for own, there in names.items():
        student.get_layer(own).set_weights(teacher.get_layer(there).get_weights())
    return student


def student_of(teacher: Any, backbone: GeneformerBackbone) -> Any:
    """A model of the teacher's class on a backbone, with the teacher's head where it fits.

    Args:
        teacher: a `GeneformerMaskedLM` or a `GeneformerCellClassifier`.
        backbone: of the student.
    """
    if isinstance(teacher, GeneformerCellClassifier):
        student = GeneformerCellClassifier(
            backbone,
            num_classes=teacher.num_classes,
            classes=teacher.classes,
            pooling=teacher.pooling,
            head_dropout=teacher.head_dropout,
        )
        names = ["pooler", "scores"]
    else:
        student = type(teacher)(backbone)
        names = ["masked_lm_head"]
    if backbone.hidden_dim == teacher.backbone.hidden_dim:
        for name in names:
            own, there = student.get_layer(name), teacher.get_layer(name)
            _copy_head(own, there)
    return student


def _copy_head(own: Any, there: Any) -> None:
    """Copy a head, but for the gene embeddings, which are the backbone's."""
    for mine, theirs in zip(own.weights, there.weights, strict=True):
        if not mine.path.endswith("token_embedding/embeddings"):
            mine.assign(ops.convert_to_numpy(theirs))


def frozen_teacher(teacher: Any) -> Any:
    """A copy of a teacher that computes as at inference, whatever is asked of it."""
    config = teacher.get_config()
    config["backbone"]["config"] |= {"dropout": 0.0, "attention_dropout": 0.0}
    if "head_dropout" in config:
        config["head_dropout"] = 0.0
    copy = type(teacher).from_config(config)
    copy.set_weights(teacher.get_weights())
    copy.trainable = False
    return copy


class TaughtStudent:
    """A student as `run_finetuning` trains it: beside its teacher, on one batch.

    Args:
        student: from `student_of`; it is trained in place.
        teacher: from `frozen_teacher`.
        hidden: whether hidden states are compared. Where widths differ, those of the student go
            through a linear map that learns with it and is left behind (TinyBERT, Jiao et al.
            2020).
    """

    def __init__(self, student: Any, teacher: Any, hidden: bool) -> None:
        self.student = student
        self.backbone = student.backbone
        self._pair = StudentBesideTeacher(student, teacher, hidden)

    def network(self, above: int = 0) -> Any:
        """A `keras.Model` from a batch's inputs to what `DistillationObjective` takes."""
        return self._pair

    def get_weights(self) -> list[np.ndarray]:
        """Of the student alone."""
        return self.student.get_weights()

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Of the student alone."""
        self.student.set_weights(weights)


class StudentBesideTeacher(keras.Model):
    """What student and teacher say of one batch.

    Args:
        student, teacher, hidden: as in `TaughtStudent`.

    Inputs: those of the student.
    Outputs: as in `DistillationObjective`.
    """

    def __init__(self, student: Any, teacher: Any, hidden: bool) -> None:
        super().__init__(name="taught_student")
        self.student = student
        self.teacher = teacher
        self.hidden = hidden
        if isinstance(student, GeneformerCellClassifier):
            self._student_head = student.network(above=student.backbone.num_layers)
            self._teacher_head = teacher.network(above=teacher.backbone.num_layers)
        width = teacher.backbone.hidden_dim
        self.to_width_of_teacher = None
        if hidden and student.backbone.hidden_dim != width:
            self.to_width_of_teacher = keras.layers.Dense(width, use_bias=False, name="to_teacher")
            self.to_width_of_teacher.build((None, None, student.backbone.hidden_dim))
        self.built = True

    def call(self, inputs, training=False):
        """Scores and, where they are compared, hidden states of both."""
        scores, states = self._of(self.student, inputs, training)
        found = {"scores": scores}
        found["teacher_scores"], teacher_states = self._of(self.teacher, inputs, False)
        if not self.hidden:
            return found
        if self.to_width_of_teacher is not None:
            states = self.to_width_of_teacher(states)
        counted = ops.cast(inputs["padding_mask"], "float32")
        return found | {"states": states, "teacher_states": teacher_states, "counted": counted}

    def _of(self, model, inputs, training):
        tokens = {name: inputs[name] for name in ("token_ids", "padding_mask")}
        states = model.backbone(tokens, training=training)
        if isinstance(model, GeneformerCellClassifier):
            head = self._student_head if model is self.student else self._teacher_head
            scores = head({**tokens, "hidden_states": states}, training=training)
        else:
            scores = model.get_layer("masked_lm_head")(states, inputs["mask_positions"])
        return scores, states
