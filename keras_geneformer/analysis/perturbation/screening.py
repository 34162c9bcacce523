"""Which genes of a cell are perturbed exactly, after a screen has scored all of them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from keras_geneformer.analysis.perturbation.cell_effects import CellEffects
from keras_geneformer.analysis.perturbation.variants import Perturbation

SCREENS = ("gradient", "int8")

_logger = logging.getLogger("keras_geneformer.screen")


class Screen(Protocol):
    """Scores every deletion of a cell at a small part of the cost of computing them."""

    def scores(self, ids: np.ndarray) -> np.ndarray:
        """(tokens,) float64: how far deleting each would move the cell; NaN where it is no gene."""


def make_screen(by: str, backbone: Any, cells: Any, **options: Any) -> Screen:
    """The screen of a name.

    Args:
        by: `"gradient"` or `"int8"`.
        backbone: a `GeneformerBackbone`.
        cells: those perturbed; int8 is calibrated on some of them.
        options: `layer`, `pooling`, `special`, `states`, `projections`, `seed`.

    Raises:
        ValueError: none of this name on this backend.
    """
    if by == "gradient":
        from keras_geneformer.analysis.perturbation.gradient_screen import GradientScreen

        return GradientScreen(backbone, **options)
    if "projections" in options:
        raise ValueError(
            f'Received projections={options["projections"]} with screen_by="int8"; projections '
            'are of the "gradient" screen.'
        )
    from keras_geneformer.analysis.perturbation.quantized_screen import QuantizedScreen

    screen = QuantizedScreen(backbone, cells, **options)
    floor = screen.noise_floor
    _logger.info(
        "int8 alone moves a cell by %.1e (median of %d unperturbed cells, %.1e at most): the "
        "screen cannot tell smaller effects apart",
        np.median(floor),
        len(floor),
        np.max(floor),
    )
    return screen


def check_screen(
    screen: int | None,
    controls: int | None,
    perturbation: Perturbation,
    screen_by: str = "gradient",
    projections: int | None = None,
) -> None:
    """Refuse a screen of what cannot be screened.

    Raises:
        ValueError: another kind than deleting single genes; fewer than 1 gene to keep; what a
            screen is told without one; no such screen.
    """
    if screen_by not in SCREENS:
        raise ValueError(f"Received screen_by={screen_by!r}; expected one of {', '.join(SCREENS)}.")
    if screen is None:
        if projections is not None or screen_by != SCREENS[0]:
            raise ValueError(
                f"Received screen_by={screen_by!r} and projections={projections} without screen; "
                "give screen=k, how many deletions a cell are computed."
            )
        if controls is not None:
            raise ValueError(
                f"Received controls={controls} without screen; controls are the genes that are "
                "computed beside the top of a screen."
            )
        return
    if (
        not isinstance(screen, (int, np.integer))
        or screen < 1
        or (controls is not None and controls < 0)
    ):
        raise ValueError(
            f"Received screen={screen} and controls={controls}; expected 1 gene or more, and 0 "
            "controls or more."
        )
    if perturbation.kind != "delete" or perturbation.of_sets:
        raise ValueError(
            "A screen scores deletions of single genes: leave screen out with other kinds, with "
            "sets of genes and with an anchor."
        )


def chosen_places(
    scores: np.ndarray, targets: np.ndarray, top: int, controls: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the genes with the highest scores, and of some others at random.

    Args:
        scores: (tokens,).
        targets: places that may be chosen.
        top: how many of the highest.
        controls: how many others.
        rng: draws them.

    Returns:
        Places of the top, and of the controls, both sorted.

    Example:
        >>> import numpy as np
        >>> scores, rng = np.array([0.1, 0.9, 0.5, 0.2]), np.random.default_rng(0)
        >>> chosen_places(scores, np.arange(4), 2, 0, rng)[0].tolist()
        [1, 2]
    """
    order = targets[np.argsort(-scores[targets], kind="stable")]
    rest = order[top:]
    others = rng.choice(rest, size=min(controls, len(rest)), replace=False)
    return np.sort(order[:top]), np.sort(others)


@dataclass(frozen=True, kw_only=True)
class ScreenedEffects:
    """Perturbs the genes of a cell that a screen puts first, and some others.

    Args:
        effects: computes exactly.
        screen: scores.
        top: genes computed by score.
        controls: genes computed at random.
        seed: of the draw, with the row of the cell.
    """

    effects: CellEffects
    screen: Screen
    top: int
    controls: int
    seed: int

    def of(
        self, cell: str, ids: np.ndarray, row: int, advance: Callable[[int], Any]
    ) -> pd.DataFrame:
        """Effects on one cell, and the score of every gene that was asked for."""
        perturbation = self.effects.perturbation
        targets = [variants.perturbed[:, 0] for variants in perturbation.of(ids)]
        if not targets:
            return self.effects.of(cell, ids)
        places = np.concatenate(targets)
        scores = self.screen.scores(ids)
        rng = np.random.default_rng([self.seed, row])
        top, others = chosen_places(scores, places, self.top, self.controls, rng)
        exact = self.effects.of(cell, ids, np.concatenate([top, others]), advance)
        groups = np.where(np.isin(places, top), "top", "rest").astype(object)
        groups[np.isin(places, others)] = "control"
        screened = pd.DataFrame(
            {
                "cell": cell,
                "gene": self.effects.names(ids[places]),
                "token": ids[places].astype(np.int64),
                "kind": perturbation.kind,
                "measure": "screen",
                "state": groups,
                "value": scores[places],
            }
        )
        return pd.concat([exact, screened], ignore_index=True)
