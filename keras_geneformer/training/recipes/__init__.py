"""Pretraining runs by name: each a function that gives a `Recipe`, and says what it costs."""

from collections.abc import Callable
from typing import Any

from keras_geneformer.training.recipes.further import cell_sentences, continual
from keras_geneformer.training.recipes.laptop import mini
from keras_geneformer.training.recipes.published import v1_10m, v2_104m, v2_316m
from keras_geneformer.training.recipes.recipe import Recipe
from keras_geneformer.training.recipes.running import run_recipe

__all__ = [
    "RECIPES",
    "Recipe",
    "cell_sentences",
    "continual",
    "mini",
    "named_recipe",
    "run_recipe",
    "v1_10m",
    "v2_104m",
    "v2_316m",
]

RECIPES: dict[str, Callable[..., Recipe]] = {
    recipe.__name__: recipe
    for recipe in (mini, v1_10m, v2_104m, v2_316m, continual, cell_sentences)
}
"""The recipes, by the name that `--recipe` takes."""


def named_recipe(name: str, **changes: Any) -> Recipe:
    """The recipe of a name.

    Args:
        name: one of `RECIPES`.
        **changes: other values of its fields; None changes nothing.

    Raises:
        ValueError: there is no such recipe or field.

    Example:
        >>> named_recipe("mini", epochs=2).epochs
        2
    """
    if name not in RECIPES:
        raise ValueError(f"Received recipe={name!r}; expected one of {', '.join(RECIPES)}.")
    return RECIPES[name](**changes)
