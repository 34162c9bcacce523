"""Smaller models: attention heads and feed-forward units removed, small weights set to 0."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from keras import ops

from keras_geneformer.compression.dense_layers import dense_layers
from keras_geneformer.compression.gates import encoder_blocks, head_path, unit_path
from keras_geneformer.compression.pruning import prune_smallest
from keras_geneformer.compression.quantized_layers import refuse_quantized
from keras_geneformer.compression.removal import SCOPES, most_important, without_removed
from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.models.any_model import model_of
from keras_geneformer.models.backbone_of import backbone_of
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.models.preset_format import is_replaceable
from keras_geneformer.models.presets import check_model_vocabulary
from keras_geneformer.tokenization.publishing import check_destination
from keras_geneformer.training.finetuning.labels import read_labels
from keras_geneformer.training.pruning.importance import gate_importance
from keras_geneformer.training.pruning.prune_result import PruneResult


def prune(
    model_or_preset: Any,
    *,
    heads: float = 0.0,
    units: float = 0.0,
    weights: float = 0.0,
    cells: Any = None,
    label_key: str | None = None,
    criterion: str | None = None,
    scope: str = "layer",
    max_cells: int = 256,
    output: str | os.PathLike | None = None,
    vocabulary: Any = None,
    seed: int = 0,
    progress: bool = False,
) -> PruneResult:
    """Take out the attention heads and feed-forward units that a model needs least.

    What goes is gone: the new model is an ordinary one of the same class, with fewer heads and
    units in its blocks, smaller and faster everywhere. It gives what the old one would give with
    those heads and units held at 0. Fine-tune or pretrain it to recover what it lost. In place of
    that or on top, the smallest weights are set to 0, which keeps size and speed.

    Picture: `kg.plotting.pruned_blocks`.

    Args:
        model_or_preset: a backbone or a model on one, which is not changed, or the name or
            directory of a preset.
        heads: share of the attention heads that goes; a block keeps one at least.
        units: share of the units of the feed-forward networks.
        weights: share of what is left of the kernels' weights that is set to 0
            (`compression.pruning.prune_smallest`).
        cells: a `CellDataset` on which heads and units are judged; without, they are by the size of
            their weights.
        label_key: column of `cells.obs` with the classes, for a cell classifier; without, what it
            predicts is taken for the truth.
        criterion: `"loss"`, `"embedding"` or `"magnitude"`, as in `gate_importance`. None: the
            loss of a masked LM or a cell classifier, the embedding of others, the magnitude
            without cells.
        scope: the share of each block (`"layer"`) or of all together (`"global"`), so that blocks
            that matter less lose more.
        max_cells: cells that are drawn where there are more.
        output: a preset to write.
        vocabulary: the `GeneVocabulary` to keep in `output`; that of a given preset by default.
        seed: of the draw, masks and directions.
        progress: show a bar.

    Returns:
        The new model and what went. A classifier's calibration is left behind: it was the old
        model's. Blocks of a classifier's head keep as many heads and units as the backbone's widest
        block.

    Raises:
        ValueError: a share out of range or none at all, no such criterion, scope or column, cells
            of another vocabulary, or a model that has adapters or is quantized.
        FileExistsError: `output` holds something that is not a preset.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> result = prune(tiny_backbone(), heads=0.5, units=0.25, cells=synthetic_dataset(6))
        >>> result.model.num_heads, result.model.intermediate_dim
        (2, 48)
    """
    _check_options(scope, criterion, cells, label_key, heads=heads, units=units, weights=weights)
    if output is not None:
        check_destination(output, is_replaceable)
    model, vocabulary = model_of(model_or_preset, vocabulary)
    _check_model(model, cells, vocabulary)
    before = int(model.count_params())
    table = pd.DataFrame()
    pruned, blocks = model, _blocks(model, model)
    if heads or units:
        if criterion is None:
            criterion = _criterion(model, cells)
        drawn, labels = _drawn(model, cells, label_key, max_cells, seed)
        found = gate_importance(
            model, drawn, labels, criterion=criterion, seed=seed, progress=progress
        )
        kept = {
            "head": _kept(model, found, head_path, heads, scope),
            "unit": _kept(model, found, unit_path, units, scope),
        }
        pruned = _rebuilt(model, kept["head"], kept["unit"])
        blocks = _blocks(model, pruned, kept["head"])
        table = _importance_table(found, kept)
    if weights:
        pruned = _copy(model) if pruned is model else pruned
        prune_smallest(backbone_of(pruned), weights, scope)
    result = PruneResult(
        model=pruned,
        blocks=blocks,
        importance=table,
        parameters_before=before,
        parameters=int(pruned.count_params()),
        zeros=zero_share(backbone_of(pruned)) if weights else 0.0,
    )
    if output is not None:
        pruned.save_to_preset(output, vocabulary=vocabulary)
    return result


def zero_share(model: Any) -> float:
    """Share of the weights of a model's kernels that are 0.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> zero_share(prune(tiny_backbone(), weights=0.75).model)
        0.75
    """
    kernels = [ops.convert_to_numpy(layer.kernel) for layer in dense_layers(model).values()]
    return float(sum((kernel == 0).sum() for kernel in kernels) / sum(k.size for k in kernels))


def _check_options(
    scope: str, criterion: str | None, cells: Any, label_key: str | None, **shares: float
) -> None:
    for name, share in shares.items():
        if not isinstance(share, (int, float)) or not 0 <= share < 1:
            raise ValueError(f"Received {name}={share!r}; expected a share from 0 to below 1.")
    if not any(shares.values()):
        raise ValueError(
            "There is nothing to prune: give a share of heads, units or weights above 0."
        )
    if scope not in SCOPES:
        raise ValueError(f"Received scope={scope!r}; expected 'layer' or 'global'.")
    judged = shares["heads"] or shares["units"]
    if cells is not None and (not judged or criterion == "magnitude"):
        raise ValueError(
            "Received cells, of which nothing here depends: weights, and heads and units by "
            "criterion='magnitude', are judged by their size. Leave the cells out."
        )
    if label_key is not None and (cells is None or criterion == "embedding"):
        raise ValueError(
            f"Received label_key={label_key!r} without cells and a loss that it is for: leave it "
            "out, or give cells."
        )


def _check_model(model: Any, cells: Any, vocabulary: Any) -> None:
    backbone = backbone_of(model)
    if vocabulary is not None:
        check_model_vocabulary(model, vocabulary)
    refuse_quantized(model, "pruned")
    for path, layer in dense_layers(model).items():
        if layer.lora_enabled:
            raise ValueError(f"{path} has an adapter: prune first, or merge first (merge_lora).")
    if cells is not None:
        check_vocabulary(
            cells,
            backbone.vocabulary_checksum,
            backbone.vocabulary_size,
            backbone.max_sequence_length,
            backbone.special_token_ids,
        )


def _criterion(model: Any, cells: Any) -> str:
    if cells is None:
        return "magnitude"
    classes = isinstance(model, GeneformerCellClassifier) and model.task == "single-label"
    return "loss" if classes or isinstance(model, GeneformerMaskedLM) else "embedding"


def _drawn(
    model: Any, cells: Any, label_key: str | None, max_cells: int, seed: int
) -> tuple[Any, np.ndarray | None]:
    """The cells that judge, and their classes by the model's numbers."""
    if cells is None:
        return None, None
    rows, classes = np.arange(len(cells)), None
    if label_key is not None:
        names = getattr(model, "classes", None)
        if not isinstance(model, GeneformerCellClassifier) or names is None:
            raise ValueError(
                f"Received label_key={label_key!r} for a {type(model).__name__} without names of "
                "classes: leave it out."
            )
        labels = read_labels(cells, label_key)
        known = np.isin(labels.text, names)
        if not known.any():
            raise ValueError(
                f"No cell of {label_key!r} is of a class of the model, which are "
                f"{', '.join(names)}."
            )
        rows = labels.rows[known]
        classes = np.array([names.index(name) for name in labels.text[known]])
    order = np.sort(np.random.default_rng(seed).permutation(len(rows))[:max_cells])
    return cells.subset(rows[order]), None if classes is None else classes[order]


def _kept(
    model: Any, importance: Mapping[str, np.ndarray], path: Any, share: float, scope: str
) -> dict[str, np.ndarray]:
    """Numbers of the gates that stay, by block."""
    backbone = backbone_of(model)
    names = list(encoder_blocks(model))
    own = names[: backbone.num_layers]
    scores = {name: importance[path(name)] for name in names}
    kept = most_important({name: scores[name] for name in own}, share, scope)
    widest = max(len(numbers) for numbers in kept.values())
    for name in names[len(own) :]:
        kept[name] = np.sort(np.argsort(-scores[name], kind="stable")[:widest])
    return kept


def _rebuilt(model: Any, heads: Mapping[str, np.ndarray], units: Mapping[str, np.ndarray]) -> Any:
    """A model of the class and weights of another, less the gates that go."""
    backbone = backbone_of(model)
    names = [f"encoder_block_{index}" for index in range(backbone.num_layers)]
    config = model.get_config()
    part = config["backbone"]["config"] if "backbone" in config else config
    part["num_heads"] = [len(heads[name]) for name in names]
    part["intermediate_dim"] = [len(units[name]) for name in names]
    part["head_dim"] = backbone.head_dim
    smaller = type(model).from_config(config)
    for own, there in zip(smaller.weights, model.weights, strict=True):
        array = ops.convert_to_numpy(there)
        own.assign(without_removed(there.path, array, heads, units, backbone.head_dim))
    return smaller


def _copy(model: Any) -> Any:
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def _blocks(model: Any, pruned: Any, heads: Mapping[str, np.ndarray] | None = None) -> pd.DataFrame:
    left = encoder_blocks(pruned)
    rows = []
    for name, block in encoder_blocks(model).items():
        every = np.arange(block.num_heads)
        gone = every[:0] if heads is None else np.setdiff1d(every, heads[name])
        rows.append(
            {
                "block": name,
                "heads_before": block.num_heads,
                "heads": left[name].num_heads,
                "units_before": block.intermediate_dim,
                "units": left[name].intermediate_dim,
                "removed": [int(number) + 1 for number in gone],
            }
        )
    return pd.DataFrame(rows)


def _importance_table(
    importance: Mapping[str, np.ndarray], kept: Mapping[str, Mapping[str, np.ndarray]]
) -> pd.DataFrame:
    tables = []
    for kind, path in (("head", head_path), ("unit", unit_path)):
        for block, numbers in kept[kind].items():
            scores = importance[path(block)]
            own = np.isin(np.arange(len(scores)), numbers)
            tables.append(
                pd.DataFrame(
                    {
                        "block": block,
                        "kind": kind,
                        "number": np.arange(1, len(scores) + 1),
                        "importance": scores.astype(np.float64),
                        "kept": own,
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)
