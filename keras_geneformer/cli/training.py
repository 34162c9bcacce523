"""The verbs that train, and the one that uses what was trained: `pretrain`, `finetune-cells`,
`predict`.
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_geneformer.cli.output import TABLES, draw_or_say_why_not, file_of, write_table


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `pretrain`, `finetune-cells` and `predict`."""
    pretrain = add(
        "pretrain",
        _pretrain,
        "train a masked language model on cells without labels",
        "15 % of a cell's genes are hidden and guessed from the rest. Begins from random weights\n"
        "of a published size or your own (--num-layers and the like), or goes on from --model.\n"
        "Writes a preset, with history.csv and loss.png beside the weights. The state of the run\n"
        "is kept in <output>.checkpoints meanwhile: after a kill the same command goes on there.",
        "keras-geneformer pretrain cells.dataset --num-layers 3 --hidden-dim 128 --num-heads 4 "
        "--intermediate-dim 256 --vocabulary vocabulary --epochs 10 --output model",
        trains=True,
    )
    pretrain.add_argument("dataset", help="tokenized cells (from `tokenize`)")
    pretrain.add_argument("--output", required=True, metavar="DIR", help="preset to write")
    pretrain.add_argument("--model", "--preset", help="preset to go on from")
    pretrain.add_argument(
        "--size",
        choices=("v1_10m", "v2_104m", "v2_316m"),
        default="v1_10m",
        help="published shape to begin with, which the next four change (default: %(default)s)",
    )
    for name in ("num-layers", "num-heads", "hidden-dim", "intermediate-dim"):
        pretrain.add_argument(f"--{name}", type=int, help="of the encoder")
    pretrain.add_argument(
        "--vocabulary", help="v1, v2 or a directory: the cells' vocabulary, to keep in the preset"
    )
    pretrain.add_argument(
        "--validation", type=float, default=0.0, help="share of cells held out (default: none)"
    )
    pretrain.add_argument("--epochs", type=int, default=3, help="(default: %(default)s)")
    pretrain.add_argument("--steps", type=int, help="batches to train on, in place of --epochs")
    pretrain.add_argument(
        "--checkpoint-every",
        type=int,
        default=1000,
        metavar="STEPS",
        help="steps from one kept state to the next (default: %(default)s)",
    )
    _add_training(pretrain, learning_rate=1e-3)

    finetune = add(
        "finetune-cells",
        _finetune_cells,
        "train a classifier on labelled cells, from a pretrained model",
        "Writes a preset that `predict` takes, and beside its weights metrics.json (accuracy and\n"
        "macro-F1 on held-out cells), predictions.csv, confusion.csv, history.csv and pictures.",
        "keras-geneformer finetune-cells cells.dataset --model geneformer_v1_10m "
        "--label-key cell_type --output cell_types",
        trains=True,
    )
    finetune.add_argument("dataset", help="tokenized cells (from `tokenize`)")
    finetune.add_argument("--model", "--preset", required=True, help="pretrained model directory")
    finetune.add_argument("--label-key", required=True, help="obs column with the labels")
    finetune.add_argument("--output", required=True, metavar="DIR", help="preset to write")
    finetune.add_argument(
        "--validation",
        default="0.1",
        help="share of cells to hold out, or an obs column (a donor, say) of which whole groups "
        "are held out (default: %(default)s)",
    )
    finetune.add_argument("--epochs", type=int, default=1, help="(default: %(default)s)")
    finetune.add_argument(
        "--freeze-layers",
        type=int,
        default=0,
        help="encoder blocks, from the input, that keep their weights (default: %(default)s)",
    )
    finetune.add_argument(
        "--head-layers", type=int, default=0, help="new encoder blocks (default: %(default)s)"
    )
    finetune.add_argument(
        "--pooling",
        choices=("first", "mean", "cls"),
        default="first",
        help="what stands for the cell (default: %(default)s, as published)",
    )
    finetune.add_argument(
        "--vocabulary", help="v1, v2 or a directory, to keep in the preset (default: the model's)"
    )
    _add_training(finetune, learning_rate=5e-4)

    predict = add(
        "predict",
        _predict,
        "label cells with a classifier",
        "Writes one row a cell: its name, the likeliest label and the probability of each.",
        "keras-geneformer predict cells.dataset --model cell_types --output labels.csv",
    )
    predict.add_argument("dataset", help="tokenized cells (from `tokenize`)")
    predict.add_argument("--model", "--preset", required=True, help="classifier's preset")
    predict.add_argument("--output", required=True, type=file_of(*TABLES), help=".parquet or .csv")
    predict.add_argument("--batch-size", type=int, help="cells a batch (default: as memory allows)")


def _add_training(verb: argparse.ArgumentParser, learning_rate: float) -> None:
    verb.add_argument(
        "--batch-size", type=int, default=12, help="cells a batch (default: %(default)s)"
    )
    verb.add_argument(
        "--learning-rate",
        type=float,
        default=learning_rate,
        help="the peak, after a warm-up (default: %(default)s)",
    )
    verb.add_argument("--seed", type=int, default=0, help="of every draw (default: %(default)s)")


def _pretrain(options: argparse.Namespace) -> None:
    import numpy as np

    from keras_geneformer import CellDataset, GeneVocabulary, pretrain
    from keras_geneformer.models.presets import check_model_vocabulary, is_replaceable
    from keras_geneformer.tokenization.publishing import check_destination

    check_destination(options.output, is_replaceable)
    cells = CellDataset.load(options.dataset)
    vocabulary = GeneVocabulary.load(options.vocabulary) if options.vocabulary else cells.vocabulary
    held = None
    if options.validation:
        from keras_geneformer.training.splits import split_by_cell

        rows, held_rows = split_by_cell(np.zeros(len(cells)), options.validation, options.seed)
        cells, held = cells.subset(rows), cells.subset(held_rows)
    model = _model_to_pretrain(options, cells)
    if vocabulary is not None:
        check_model_vocabulary(model, vocabulary)
    output = Path(options.output)
    checkpoints = output.with_name(f"{output.name}.checkpoints")
    result = pretrain(
        model,
        cells,
        epochs=options.epochs,
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        validation=held,
        seed=options.seed,
        checkpoints=checkpoints,
        checkpoint_every=options.checkpoint_every,
    )
    result.model.save_to_preset(output, vocabulary=vocabulary)
    shutil.rmtree(checkpoints)
    write_table(result.history, output / "history.csv", index=False)
    _draw_losses(result.history, output, "Masked-gene loss")
    last = result.history.iloc[-1]
    print(
        f"trained on {len(cells)} cells for {len(result.history)} steps; loss {last['loss']:.3f}"
        + (f", on held-out cells {last['validation_loss']:.3f}" if held is not None else "")
        + f"\nmodel, history.csv and loss.png in {output}"
    )
    if vocabulary is None:
        print("no vocabulary is kept with it (--vocabulary keeps one)")


def _model_to_pretrain(options: argparse.Namespace, cells: Any) -> Any:
    """The preset given, or a masked LM of the size asked for, with random weights."""
    shape = ("num_layers", "num_heads", "hidden_dim", "intermediate_dim")
    given = {name: getattr(options, name) for name in shape if getattr(options, name) is not None}
    if options.model:
        if given:
            raise ValueError(
                f"--model says the shape of the model: leave out {', '.join(sorted(given))}"
            )
        from keras_geneformer import GeneformerMaskedLM

        return GeneformerMaskedLM.from_preset(options.model)
    if cells.vocabulary_size is None:
        raise ValueError(
            f"{options.dataset} does not say how large its vocabulary is (another program wrote "
            "it): tokenize with `keras-geneformer tokenize`, or give --model"
        )
    import keras

    from keras_geneformer.models.sizes import sized_backbone

    keras.utils.set_random_seed(options.seed)
    return sized_backbone(
        options.size,
        **given,
        vocabulary_size=cells.vocabulary_size,
        max_sequence_length=cells.max_length or int(cells.lengths.max()),
        special_token_ids=tuple(sorted(cells.special_tokens.values())),
        vocabulary_checksum=cells.vocabulary_checksum,
    )


def _finetune_cells(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, GeneVocabulary, finetune_cells

    result = finetune_cells(
        options.model,
        CellDataset.load(options.dataset),
        options.label_key,
        validation=_share_or_column(options.validation),
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        freeze_layers=options.freeze_layers,
        head_layers=options.head_layers,
        pooling=options.pooling,
        seed=options.seed,
        output=options.output,
        vocabulary=GeneVocabulary.load(options.vocabulary) if options.vocabulary else None,
    )
    output = Path(options.output)

    def draw() -> None:
        from keras_geneformer import plotting

        title = f"{options.label_key}: {len(result.predictions)} held-out cells"
        plotting.confusion_matrix(result.confusion, output / "confusion.png", title=title)

    _draw_losses(result.history, output, "Loss while fine-tuning")
    draw_or_say_why_not(draw)
    print(
        f"{len(result.model.classes)} classes; on {len(result.predictions)} held-out cells: "
        + ", ".join(f"{name} {value:.3f}" for name, value in result.metrics.items())
        + f"\nclassifier, {', '.join(sorted(path.name for path in output.glob('*.[cjp][sn]*')))} "
        f"in {output}"
    )
    if not (output / "vocabulary").is_dir():
        print("no vocabulary is kept with it (--vocabulary keeps one)")


def _predict(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, predict

    cells = CellDataset.load(options.dataset)
    table = predict(options.model, cells, batch_size=options.batch_size, progress=True)
    write_table(table, options.output)
    counts = table["label"].value_counts()
    print(f"{len(table)} cells labelled, in {options.output}")
    print("\n".join(f"  {count:6d}  {label}" for label, count in counts.items()))


def _share_or_column(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _draw_losses(history: Any, output: Path, title: str) -> None:
    def draw() -> None:
        from keras_geneformer import plotting

        plotting.loss_curve(
            history, output / "loss.png", title=title, ylabel="cross-entropy (nats)"
        )

    draw_or_say_why_not(draw)
