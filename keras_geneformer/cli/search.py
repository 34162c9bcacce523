"""The verb that looks for the settings of fine-tuning: `search`."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_geneformer.cli.evaluation import add_cells, labelled
from keras_geneformer.cli.finetune_options import (
    add_finetune_options,
    assignment,
    finetune_settings,
)
from keras_geneformer.cli.output import draw_or_say_why_not, write_table, written_whole


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `search`."""
    verb = add(
        "search",
        _search,
        "look for the settings of fine-tuning that score best",
        "Writes search.db (every trial; run again, the search goes on to --trials in all),\n"
        "trials.csv, best_settings.json and history.png. Settings that are given are fixed.",
        "keras-geneformer search geneformer_mini cells.dataset --label-key cell_type "
        "--trials 20 --epochs 3 --output search",
        trains=True,
    )
    add_cells(verb)
    verb.add_argument("--output", required=True, metavar="DIR", help="directory to write")
    verb.add_argument(
        "--trials", type=int, default=20, help="in all, with those done (default: %(default)s)"
    )
    verb.add_argument(
        "--workers", type=int, default=1, help="trials at the same time (default: %(default)s)"
    )
    verb.add_argument(
        "--objective",
        choices=("macro_f1", "accuracy", "loss"),
        default="macro_f1",
        help="of the validation cells (default: %(default)s)",
    )
    verb.add_argument(
        "--space",
        type=assignment,
        action="append",
        metavar="NAME=RANGE",
        help="a setting to search, as \"learning_rate=(1e-5, 1e-3, 'log')\" or \"loss=['focal', "
        "'dice']\"; may be repeated (default: learning rate, decay, warm-up, weight decay, frozen "
        "layers and loss)",
    )
    add_finetune_options(verb)


def _search(options: argparse.Namespace) -> None:
    from keras_geneformer import search

    output = Path(options.output)
    settings: dict[str, Any] = finetune_settings(options)
    found = search(
        options.preset,
        labelled(options),
        options.label_key,
        trials=options.trials,
        workers=options.workers,
        objective=options.objective,
        space=dict(options.space) if options.space else None,
        storage=output / "search.db",
        seed=options.seed,
        **settings,
    )
    write_table(found.trials, output / "trials.csv", index=False)
    with written_whole(output / "best_settings.json") as beside:
        beside.write_text(json.dumps(found.best_settings, indent=2) + "\n")

    def draw() -> None:
        from keras_geneformer import plotting

        plotting.search_history(
            found.trials,
            output / "history.png",
            title=f"{options.label_key}: {len(found.trials)} trials",
            ylabel=f"validation {options.objective.replace('macro_f1', 'macro-F1')}",
            lowest=options.objective == "loss",
        )

    draw_or_say_why_not(draw)
    pruned = int((found.trials["state"] == "pruned").sum())
    print(
        f"{len(found.trials)} trials, {pruned} given up early; best {options.objective} on the "
        f"validation cells {found.best_score:.3f}, with "
        + ", ".join(f"{name} {value}" for name, value in found.best_settings.items())
    )
    print(f"search.db, trials.csv, best_settings.json in {output}")
