"""A published recipe on another model and other data: what is changed, in words."""

import math
from typing import Any

from keras_geneformer.studies.study import PUBLISHED_BLOCKS, Study


def adapted_settings(
    study: Study, blocks: int, training_cells: int, overrides: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """A study's settings for a model and data of other sizes.

    Args:
        study: the study.
        blocks: encoder blocks of the model.
        training_cells: about how many cells will train.
        overrides: settings that the user gave, which stand as they are.

    Returns:
        The settings, and a sentence for each that is not what was published.

    Example:
        >>> from keras_geneformer.studies import named_study
        >>> settings, notes = adapted_settings(named_study("pancreas-baseline"), 3, 360, {})
        >>> settings["freeze_layers"], settings["warmup"]
        (2, 44)
    """
    settings, notes = dict(study.settings) | overrides, []
    frozen = int(settings.get("freeze_layers", 0))
    if frozen and "freeze_layers" not in overrides and blocks < PUBLISHED_BLOCKS:
        kept = math.floor(frozen * blocks / PUBLISHED_BLOCKS)
        settings["freeze_layers"] = kept
        notes.append(
            f"The study froze {frozen} of {PUBLISHED_BLOCKS} encoder blocks; this model has "
            f"{blocks}, of which {kept} were frozen."
        )
    warmup = settings.get("warmup")
    published = study.published_steps
    if published and isinstance(warmup, int) and warmup > 1 and "warmup" not in overrides:
        batches = math.ceil(training_cells / int(settings.get("batch_size", 12)))
        steps = max(1, math.ceil(float(settings.get("epochs", 1)) * batches))
        if steps < published / 2:
            settings["warmup"] = max(2, round(warmup * steps / published))
            notes.append(
                f"The learning rate rose over {warmup} steps, in a run of about {published}; here "
                f"it is over {settings['warmup']}, as large a share of about {steps}."
            )
        if settings["warmup"] > steps:
            notes.append(
                "As published, the run ends before the learning rate has reached its peak."
            )
    for name in overrides:
        if name in study.settings and overrides[name] != study.settings[name]:
            notes.append(f"{name} is {overrides[name]} as asked; the study's is given below.")
    return settings, notes
