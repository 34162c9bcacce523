"""The verb `quantize`."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

MODES = ("int8", "int8-dynamic", "int4", "gptq", "float8", "openvino-int8")
_CALIBRATED = MODES[3:]
_WEIGHTS = (".h5", ".safetensors", ".bin", ".xml")


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `quantize`."""
    verb = add(
        "quantize",
        _quantize,
        "a preset in fewer bits a weight",
        "Writes a preset that --model takes, with the vocabulary of the first. int8 is a quarter\n"
        "of the size on every backend, at no more speed; int4 and gptq are smaller still and less\n"
        "exact. openvino-int8 computes in int8, too, for --backend openvino alone: it is fast on\n"
        "processors with int8 instructions. float8 is Keras's, for training: it makes nothing\n"
        "smaller. gptq, float8 and openvino-int8 need cells, and read 32 of them. Where cells are\n"
        "given, the embeddings of 200 of them at most are compared with those in float.",
        "keras-geneformer --backend openvino quantize heart_cell_types --mode openvino-int8 "
        "--calibration heart.dataset --output heart_int8",
    )
    verb.add_argument("preset", help="preset or published checkpoint, in float")
    verb.add_argument("--mode", required=True, choices=MODES, help="how the weights are stored")
    verb.add_argument("--calibration", metavar="DATASET", help="tokenized cells")
    verb.add_argument("--output", required=True, metavar="DIR", help="preset to write")
    verb.add_argument(
        "--seed", type=int, default=0, help="of the draw of cells (default: %(default)s)"
    )


def _quantize(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, embed_cells, quantize
    from keras_geneformer.models.any_model import model_of
    from keras_geneformer.models.preset_format import is_replaceable
    from keras_geneformer.models.preset_source import preset_directory
    from keras_geneformer.tokenization.publishing import check_destination

    check_destination(options.output, is_replaceable)
    directory = Path(preset_directory(options.preset))
    model, vocabulary = model_of(options.preset)
    calibration = before = shown = None
    if options.calibration is not None:
        calibration = CellDataset.load(options.calibration)
        rows = np.random.default_rng(options.seed + 1).permutation(len(calibration))[:200]
        shown = calibration.subset(np.sort(rows))
        before = embed_cells(model, shown).to_numpy()
    given = calibration if options.mode in _CALIBRATED else None
    quantize(model, options.mode, given, seed=options.seed)
    model.save_to_preset(options.output, vocabulary)
    old, new = _weight_bytes(directory), _weight_bytes(Path(options.output))
    print(
        f"{type(model).__name__} in {options.mode}: {new / 1e6:.2f} MB of weights, "
        f"{new / old:.0%} of {old / 1e6:.2f} MB, in {options.output}"
    )
    if before is not None:
        after = embed_cells(model, shown).to_numpy()
        lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        cosines = (before * after).sum(axis=1) / lengths
        print(
            f"embeddings of {len(cosines)} cells, against those in float: cosine "
            f"{cosines.mean():.6f} on average, {cosines.min():.6f} at the least"
        )


def _weight_bytes(directory: Path) -> int:
    """Bytes of the files of weights and graphs below a directory."""
    paths = (path for path in directory.rglob("*") if path.suffix in _WEIGHTS)
    return sum(path.stat().st_size for path in paths)
