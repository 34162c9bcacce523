"""The verb that pretrains, by recipe: `pretrain`."""

import argparse
import inspect
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keras_geneformer.cli.output import draw_or_say_why_not

RECIPES = ("mini", "v1_10m", "v2_104m", "v2_316m", "continual", "cell_sentences")
"""Known here as well, so that --help needs no Keras."""

DISTRIBUTIONS = ("mirrored", "multiworker", "tpu", "jax-data", "jax-model")
SHAPE = {
    "num_layers": "encoder blocks of the model",
    "num_heads": "attention heads of a block; they divide --hidden-dim",
    "hidden_dim": "numbers that stand for a gene in its cell, as embed gives them",
    "intermediate_dim": "width within a block's feed-forward layers",
    "max_length": "tokens of a cell at most; of longer cells the highest genes are used",
}
_TRAINING = (
    *("epochs", "batch_size", "max_tokens", "accumulate", "packed"),
    *("learning_rate", "validation", "dtype"),
)


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `pretrain`."""
    verb = add(
        "pretrain",
        _pretrain,
        "train a masked language model on cells without labels",
        "15 % of a cell's genes are hidden and guessed from the rest. A recipe sets the model's\n"
        "shape, the batches and the optimizer; the options after it change single settings.\n"
        "Writes a preset with the cells' vocabulary, and beside the weights a model card\n"
        "(README.md, training.json), history.csv, log.csv and loss.png. The state of the run is\n"
        "kept in <output>.checkpoints meanwhile: after a kill the same command goes on there.\n"
        "\n"
        "recipes:\n"
        "  mini            3 layers, 128 dim, 512 tokens: minutes to an hour on a laptop\n"
        "  v1_10m          the published Geneformer-V1: 6 layers, 256 dim, 2048 tokens\n"
        "  v2_104m         the published Geneformer-V2: 12 layers, 768 dim, 4096 tokens\n"
        "  v2_316m         the published large one: 18 layers, 1152 dim, 4096 tokens\n"
        "  continual       goes on from --model, on cells of another kind\n"
        "  cell_sentences  like mini, on short cells packed into rows of 1024 tokens",
        "keras-geneformer pretrain --recipe mini --data cells.dataset --output model",
        trains=True,
    )
    verb.add_argument(
        "--recipe",
        metavar="{" + ",".join(RECIPES) + "}",
        help="what to train and how, by name (default: mini, which any machine can train; with "
        "--model, continual)",
    )
    verb.add_argument(
        "--data", required=True, metavar="X.dataset", help="tokenized cells (from `tokenize`)"
    )
    verb.add_argument("--output", required=True, metavar="DIR", help="preset to write")
    verb.add_argument("--model", "--preset", help="preset to go on from; it sets the shape")
    verb.add_argument(
        "--vocabulary",
        help="v1, v2 or a directory: what the cells were tokenized with, where they do not say it "
        "(published datasets)",
    )
    verb.add_argument(
        "--dry-run", action="store_true", help="print steps, tokens and parameters, and end"
    )

    run = verb.add_argument_group("the run")
    run.add_argument("--epochs", type=int, help="passes over the cells (default: the recipe's)")
    run.add_argument("--steps", type=int, help="batches to train on, in place of --epochs")
    run.add_argument("--seed", type=int, default=0, help="of every draw (default: %(default)s)")
    run.add_argument(
        "--distribute",
        metavar="{" + ",".join(DISTRIBUTIONS) + "}",
        help="over several devices or machines; mirrored, multiworker and tpu with the backend "
        "tensorflow, the others with jax; mirrored:2 takes two devices (default: one device)",
    )
    run.add_argument(
        "--driver",
        choices=("loop", "fit"),
        default="loop",
        help="what calls the step: our loop or Keras's fit (default: %(default)s)",
    )
    run.add_argument(
        "--checkpoint-every",
        type=int,
        metavar="STEPS",
        help="steps from one kept state to the next (default: a twentieth of the run, 25 at least "
        "and 1000 at most)",
    )
    run.add_argument(
        "--tensorboard",
        action="store_true",
        help="write TensorBoard's scalars too, in <output>.checkpoints/tensorboard, in the end in "
        "<output>/tensorboard",
    )

    changes = verb.add_argument_group("other settings than the recipe's")
    changes.add_argument("--batch-size", type=int, help="cells a step, on all devices together")
    changes.add_argument("--max-tokens", type=int, help="padded tokens a step, for --batch-size")
    changes.add_argument(
        "--accumulate",
        type=int,
        help="parts in which one device takes a step; several devices share the parts",
    )
    changes.add_argument(
        "--packed", type=int, metavar="L", help="put short cells into rows of so many tokens"
    )
    changes.add_argument("--learning-rate", type=float, help="the peak, after a warm-up")
    changes.add_argument("--validation", type=float, help="share of the cells held out; 0: none")
    changes.add_argument(
        "--dtype", choices=("float32", "mixed_bfloat16"), help="what training computes in"
    )
    for name, words in SHAPE.items():
        changes.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help=words)


def _pretrain(options: argparse.Namespace) -> None:
    from keras_geneformer.models.preset_format import is_replaceable
    from keras_geneformer.tokenization.publishing import check_destination
    from keras_geneformer.training.distribution import connect, is_chief
    from keras_geneformer.training.model_card import RECORD_FILE
    from keras_geneformer.training.recipes import named_recipe, run_recipe

    changes = {name: getattr(options, name) for name in (*SHAPE, *_TRAINING)}
    shape = [name for name in SHAPE if changes[name] is not None]
    if options.model and shape:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in shape)
        raise ValueError(f"--model says the shape of the model: leave out {named}")
    if options.steps is not None and options.epochs is not None:
        raise ValueError("--steps says how long the run is, in place of --epochs: give one of them")
    name = options.recipe or ("continual" if options.model else "mini")
    recipe = named_recipe(name, **changes)
    if recipe.needs_model and not options.model:
        raise ValueError(
            f"The recipe {name} goes on from a pretrained model: give a preset with --model"
        )
    check_destination(options.output, is_replaceable)
    # Processes that train together must find each other before the first tensor is made.
    try:
        connect(options.distribute)
    except RuntimeError as error:
        raise ConnectionError(str(error)) from error
    cells = _cells(options)
    if options.dry_run:
        _show_plan(options, recipe, cells)
        return

    def draw(history: Any, path: Path) -> None:
        def loss_curve() -> None:
            from keras_geneformer import plotting

            plotting.loss_curve(
                history, path, title="Masked-gene loss", ylabel="cross-entropy (nats)"
            )

        draw_or_say_why_not(loss_curve)

    with _said_how_to_go_on(options.output):
        result = run_recipe(
            recipe,
            cells,
            options.output,
            model=options.model,
            steps=options.steps,
            seed=options.seed,
            distribute=options.distribute,
            driver=options.driver,
            checkpoint_every=options.checkpoint_every,
            tensorboard=options.tensorboard,
            data=Path(options.data).resolve().name,
            command=command_of(options, name),
            draw=draw,
            progress=is_chief(),
        )
    if not is_chief():
        return
    last = result.history.iloc[-1]
    held = "validation_loss" in last
    record = json.loads((Path(options.output) / RECORD_FILE).read_text(encoding="utf-8"))
    print(
        f"trained on {record['data']['cells']} cells for {len(result.history)} steps; "
        f"loss {last['loss']:.3f}"
        + (f", on held-out cells {last['validation_loss']:.3f}" if held else "")
        + f"\nmodel, model card, history.csv and log.csv in {options.output}"
    )


@contextmanager
def _said_how_to_go_on(output: str) -> Iterator[None]:
    """Where a run is ended by Ctrl-C or SIGTERM, say on stderr what is kept of it."""
    from keras_geneformer.training.recipes.running import checkpoints_of

    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        kept = sorted(checkpoints_of(output).glob("checkpoint-*"))
        if kept:
            step = int(kept[-1].name.removeprefix("checkpoint-"))
            words = f"step {step} is kept in {kept[-1].parent}: the same command goes on from there"
        else:
            words = "no step was kept yet: the same command begins anew"
        print(f"{output} is not finished; {words}", file=sys.stderr)
        raise


def command_of(options: argparse.Namespace, recipe: str) -> str:
    """The command that makes the preset again, with the options that were given."""
    words = ["keras-geneformer", "pretrain", "--recipe", recipe, "--data", options.data]
    words += ["--output", options.output, "--seed", str(options.seed)]
    names = ("model", "vocabulary", *_TRAINING, *SHAPE, "steps", "distribute", "backend")
    for name in names:
        value = getattr(options, name, None)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    if options.driver != "loop":
        words += ["--driver", options.driver]
    return shlex.join(words)


def _cells(options: argparse.Namespace) -> Any:
    from keras_geneformer import CellDataset, GeneVocabulary
    from keras_geneformer.models.preset_format import PRESET_FILE
    from keras_geneformer.models.presets import preset_vocabulary

    path = Path(options.data)
    if path.is_file():
        raise ValueError(
            f"{path} is a file; --data takes a directory of tokenized cells, which "
            "`keras-geneformer tokenize` makes of counts"
        )
    if (path / PRESET_FILE).is_file():
        raise ValueError(f"{path} is a preset; --data takes a directory of tokenized cells")
    cells = CellDataset.load(path)
    if options.vocabulary:
        cells = cells.with_vocabulary(GeneVocabulary.load(options.vocabulary))
    elif cells.vocabulary is None and not (options.model and preset_vocabulary(options.model)):
        raise ValueError(
            f"{path} carries no vocabulary, without which the preset could not be used: say which "
            "its cells were tokenized with, with --vocabulary (v1, v2 or a directory)"
        )
    return cells


def _show_plan(options: argparse.Namespace, recipe: Any, cells: Any) -> None:
    from keras_geneformer.training.recipes import RECIPES
    from keras_geneformer.training.recipes.prepared import prepare_run

    run = prepare_run(recipe, cells, model=options.model, steps=options.steps, seed=options.seed)
    print(f"recipe       {recipe.name}\n{run.plan}")
    words = inspect.getdoc(RECIPES[recipe.name]) or ""
    for paragraph in words.split("\n\n"):
        if paragraph.startswith(("Cost: ", "Expected result: ")):
            print(" ".join(paragraph.split()))
