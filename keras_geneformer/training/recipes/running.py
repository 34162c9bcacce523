"""From cells to a preset, as a recipe says."""

import hashlib
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.models.preset_format import is_replaceable
from keras_geneformer.tokenization.publishing import check_destination, publish_directory
from keras_geneformer.training.distribution import connect, is_chief
from keras_geneformer.training.model_card import training_record, write_model_card
from keras_geneformer.training.pretraining import PretrainResult, pretrain
from keras_geneformer.training.recipes.prepared import PreparedRun, prepare_run
from keras_geneformer.training.recipes.recipe import Recipe
from keras_geneformer.training.run_log import LOG_FILE, TENSORBOARD_DIRECTORY


def run_recipe(
    recipe: Recipe,
    cells: Any,
    output: str | os.PathLike[str],
    *,
    model: Any = None,
    epochs: int | None = None,
    steps: int | None = None,
    validation: Any = None,
    seed: int = 0,
    distribute: str | None = None,
    driver: str = "loop",
    checkpoint_every: int | None = None,
    tensorboard: bool = False,
    data: str | None = None,
    command: str | None = None,
    draw: Callable[[pd.DataFrame, Path], Any] | None = None,
    progress: bool = True,
) -> PretrainResult:
    """Pretrain as a recipe says, and write what comes of it.

    `output` appears when all is done: the preset (float32, with the cells' vocabulary), history.csv
    and log.csv (a row a step), a model card (README.md, training.json). Meanwhile the state of the
    run and log.csv are in `<output>.checkpoints`: after a kill the same call goes on there, and
    gives on a CPU what it would have given, bit for bit.

    Picture: `kg.plotting.loss_curve` of the history.

    Args:
        recipe: of `keras_geneformer.training.recipes`.
        cells: a `CellDataset` that carries its vocabulary. Of cells longer than the model takes
            the first genes are used.
        output: the directory to write; an earlier preset there is replaced.
        model: a preset, or a `GeneformerMaskedLM` or `GeneformerBackbone`, to go on from in place
            of random weights; its shape is kept.
        epochs: in place of the recipe's.
        steps: batches to train on, in place of epochs.
        validation: cells (a `CellDataset`) to validate on, in place of the recipe's share.
        seed: of weights, split, shuffling, masks and dropout.
        distribute: over what the run is spread: see `training.distribution.connect`. Of several
            processes one writes.
        driver: what calls the step: `"loop"`, or `"fit"` of Keras.
        checkpoint_every: steps from one kept state to the next; None for a twentieth of the run,
            25 at least and 1,000 at most.
        tensorboard: write scalars for TensorBoard too.
        data: what to call the dataset in the model card.
        command: what makes the preset again, for the model card.
        draw: writes the picture of a history to a path (as `plotting.loss_curve` does).
        progress: show a bar.

    Returns:
        The model and its history, as of `pretrain`.

    Raises:
        FileExistsError: `output` holds something else than a preset.
        ValueError: the recipe needs a model, the cells carry no vocabulary or another one than
            the model's, or `<output>.checkpoints` holds the state of another run.

    Example:
        >>> import tempfile
        >>> from keras_geneformer.testing import synthetic_dataset
        >>> from keras_geneformer.training.recipes import mini
        >>> tiny = mini(num_layers=1, hidden_dim=8, intermediate_dim=8)
        >>> output = Path(tempfile.mkdtemp()) / "model"
        >>> result = run_recipe(tiny, synthetic_dataset(20), output, steps=1, progress=False)
        >>> "README.md" in [path.name for path in output.iterdir()]
        True
    """
    distribution = connect(distribute)  # before the first tensor is made
    output = Path(output)
    check_destination(output, is_replaceable)
    run = prepare_run(
        recipe.changed(epochs=epochs),
        cells,
        model=model,
        steps=steps,
        validation=validation,
        seed=seed,
    )
    checkpoints = checkpoints_of(output)
    if checkpoint_every is None:
        checkpoint_every = min(max(run.plan.steps // 20, 25), 1000)
    masked_lm = run.masked_lm(seed)
    began_with = None if model is None else f"{_called(model)} ({_digest(masked_lm)})"
    result = pretrain(
        masked_lm,
        run.cells,
        epochs=run.recipe.epochs,
        steps=steps,
        validation=run.held,
        seed=seed,
        began_with=began_with,
        checkpoints=checkpoints,
        checkpoint_every=checkpoint_every,
        log=checkpoints,
        tensorboard=tensorboard,
        distribute=distribute,
        driver=driver,
        progress=progress,
        **run.recipe.training
        | {"accumulate": math.ceil(run.recipe.accumulate / distribution.devices)},
    )
    if not is_chief():
        return result
    record = training_record(
        output.name,
        model=result.model,
        cells=run.cells,
        held=run.held,
        vocabulary=run.vocabulary,
        recipe=run.settings(result.model.backbone)
        | ({} if steps is None else {"epochs": None, "steps": steps}),
        history=result.history,
        seed=seed,
        data=data,
        command=command,
        distribution=distribute and f"{distribute}, a batch in {distribution.devices} shares",
        began_with=None if model is None else _called(model),
    )
    _write(output, result, run, record, checkpoints, draw)
    return result


def checkpoints_of(output: str | os.PathLike[str]) -> Path:
    """Where the state of a run is kept that will write `output`.

    Example:
        >>> checkpoints_of("runs/model").name
        'model.checkpoints'
    """
    output = Path(output)
    return output.with_name(f"{output.name}.checkpoints")


def _write(
    output: Path,
    result: PretrainResult,
    run: PreparedRun,
    record: dict[str, Any],
    checkpoints: Path,
    draw: Callable[[pd.DataFrame, Path], Any] | None,
) -> None:
    """The preset and all that goes with it, at once; the state of the run then goes."""
    with publish_directory(output, is_replaceable) as partial:
        in_float32(result.model).save_to_preset(partial, vocabulary=run.vocabulary)
        result.history.to_csv(partial / "history.csv", index=False)
        shutil.copy2(checkpoints / LOG_FILE, partial / LOG_FILE)
        if (checkpoints / TENSORBOARD_DIRECTORY).is_dir():
            shutil.copytree(checkpoints / TENSORBOARD_DIRECTORY, partial / TENSORBOARD_DIRECTORY)
        if draw is not None:
            draw(result.history, partial / "loss.png")
        write_model_card(partial, record)
    shutil.rmtree(checkpoints)


def in_float32(model: GeneformerMaskedLM) -> GeneformerMaskedLM:
    """The same weights in a model that computes in float32; the model itself where it does.

    Training in bfloat16 keeps float32 weights; what is embedded with them is to be float32 too.
    """
    if model.backbone.dtype_policy.compute_dtype == "float32":
        return model
    config = model.get_config()
    config["backbone"]["config"]["dtype"] = "float32"
    same = GeneformerMaskedLM.from_config(config)
    same.set_weights(model.get_weights())
    return same


def _digest(model: GeneformerMaskedLM) -> str:
    """The first digits of a sha256 over the weights."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.asarray(weight).tobytes())
    return digest.hexdigest()[:16]


def _called(model: Any) -> str:
    if isinstance(model, (str, os.PathLike)):
        return str(model) if str(model).startswith("hf://") else Path(model).name
    return f"a {type(model).__name__} in memory"
