"""A run of which everything is known and nothing is done yet."""

import dataclasses
import logging
import os
from dataclasses import dataclass
from typing import Any

import keras

from keras_geneformer.compression.quantized_layers import refuse_quantized
from keras_geneformer.models.backbone import GeneformerBackbone
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.models.presets import check_model_vocabulary, preset_vocabulary
from keras_geneformer.training.recipes.cells import cells_of_run, shortened, with_length
from keras_geneformer.training.recipes.plan import RunPlan, parameter_count, plan_run
from keras_geneformer.training.recipes.recipe import SHAPE, Recipe

logger = logging.getLogger(__name__)

_OF_THE_BACKBONE = {"max_length": "max_sequence_length"}


@dataclass(frozen=True)
class PreparedRun:
    """What `run_recipe` trains on, and how long."""

    recipe: Recipe
    """With a warm-up that the run has room for, and the share that is held out."""
    cells: Any
    held: Any
    vocabulary: Any
    model: GeneformerMaskedLM | None
    """What the run goes on from; None where it begins with random weights."""
    plan: RunPlan

    def masked_lm(self, seed: int) -> GeneformerMaskedLM:
        """The model to train: the one given, else one of the recipe's shape with random weights."""
        if self.model is not None:
            return self.model
        keras.utils.set_random_seed(seed)
        shape = {_OF_THE_BACKBONE.get(name, name): v for name, v in self.recipe.shape.items()}
        return GeneformerMaskedLM(
            GeneformerBackbone(
                **shape,
                vocabulary_size=self.vocabulary.size,
                special_token_ids=tuple(sorted(self.vocabulary.special_tokens.values())),
                vocabulary_checksum=self.vocabulary.checksum,
                dtype=self.recipe.dtype,
            )
        )

    def settings(self, backbone: GeneformerBackbone) -> dict[str, Any]:
        """Every setting of the run; the shape and what it computes in are the trained model's."""
        shape = {name: getattr(backbone, _OF_THE_BACKBONE.get(name, name)) for name in SHAPE}
        return dataclasses.asdict(self.recipe) | shape | {"dtype": backbone.dtype_policy.name}


def prepare_run(
    recipe: Recipe,
    cells: Any,
    *,
    model: Any = None,
    steps: int | None = None,
    validation: Any = None,
    seed: int = 0,
) -> PreparedRun:
    """Split the cells and count the steps.

    Args:
        recipe: what to do.
        cells: a `CellDataset`.
        model: a preset or a model to go on from.
        steps: in place of the recipe's epochs.
        validation: cells to validate on, in place of the recipe's share of `cells`.
        seed: of the split.

    Raises:
        ValueError: the recipe needs a model and there is none, or the other way round; the cells
            carry no vocabulary, or another one than the model's; or `steps` is below 1.
    """
    if steps is not None and steps < 1:
        raise ValueError(f"Received steps={steps}; expected 1 or more.")
    if model is None and recipe.needs_model:
        raise ValueError(
            f"The recipe {recipe.name} goes on from a pretrained model: give model= a preset."
        )
    vocabulary = cells.vocabulary
    if isinstance(model, (str, os.PathLike)):
        dtype = None if recipe.dtype == "float32" else recipe.dtype
        if vocabulary is None:
            vocabulary = preset_vocabulary(model)
        model = GeneformerMaskedLM.from_preset(model, dtype=dtype)
    elif isinstance(model, GeneformerBackbone):
        model = GeneformerMaskedLM(model)
    if vocabulary is None:
        raise ValueError(
            "The cells carry no vocabulary, without which the preset could not be used: say which "
            "they were tokenized with, as in "
            "cells.with_vocabulary(keras_geneformer.GeneVocabulary.load('v1'))."
        )
    if cells.vocabulary_checksum is None:
        cells = cells.with_vocabulary(vocabulary)
    if model is not None:
        refuse_quantized(model, "trained")
        check_model_vocabulary(model, vocabulary)
        longest, parameters = model.backbone.max_sequence_length, model.count_params()
    else:
        longest = recipe.shape["max_length"]
        parameters = parameter_count(recipe, vocabulary.size)
    if validation is not None:
        recipe = dataclasses.replace(recipe, validation=0.0)
    cells, held = cells_of_run(cells, longest, recipe.validation, seed)
    held = held if validation is None else shortened(validation, longest)
    plan = plan_run(
        recipe,
        cells,
        held,
        vocabulary=vocabulary,
        max_length=longest,
        parameters=parameters,
        steps=steps,
    )
    return PreparedRun(
        _with_room(recipe, plan.steps), cells, held, with_length(vocabulary, longest), model, plan
    )


def _with_room(recipe: Recipe, steps: int) -> Recipe:
    """A warm-up of many steps, meant for many cells, would be all there is of a short run."""
    in_steps = isinstance(recipe.warmup, int) and recipe.warmup >= 1
    if not in_steps or recipe.warmup < steps:
        return recipe
    logger.warning(
        "the warm-up of %s steps is no shorter than the run of %s: a tenth of the run is taken "
        "in its place. Fewer cells want a smaller recipe (mini), or more epochs",
        f"{recipe.warmup:,}",
        f"{steps:,}",
    )
    return dataclasses.replace(recipe, warmup=0.1)
