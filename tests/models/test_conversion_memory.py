"""Converting takes little more memory than the model."""

import json
import math
import struct
import subprocess
import sys

from keras_geneformer.conversion.published_config import backbone_arguments
from keras_geneformer.conversion.table import checkpoint_shapes, checkpoint_table

CONFIG = {
    "architectures": ["BertForMaskedLM"],
    "model_type": "bert",
    "vocab_size": 2000,
    "hidden_size": 768,
    "num_hidden_layers": 4,
    "num_attention_heads": 12,
    "intermediate_size": 12288,
    "hidden_act": "relu",
    "max_position_embeddings": 2048,
}

MEASURE = """
import sys, threading
import keras_geneformer as kg

def own():
    # Without the pages of the mapped file, of which the system keeps as many as it has room for.
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) * 1024

kg.convert_checkpoint(sys.argv[1], sys.argv[2] + "/small")
peaks, done = [own()], threading.Event()

def watch():
    while not done.wait(0.002):
        peaks.append(own())

watcher = threading.Thread(target=watch)
watcher.start()
kg.convert_checkpoint(sys.argv[3], sys.argv[2] + "/large")
done.set()
watcher.join()
print(max(peaks) - peaks[0], len(peaks))
"""


def write_checkpoint(directory, config):
    """A checkpoint of zeros, which takes no room on disk; its bytes."""
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config))
    rows = checkpoint_table(config["num_hidden_layers"], "masked_lm")
    header, end = {}, 0
    for key, shape in checkpoint_shapes(backbone_arguments(config), rows, 0).items():
        begin, end = end, end + 4 * math.prod(shape)
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with open(directory / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return end


def test_converting_peaks_below_one_and_a_half_models(tmp_path):
    small = {"hidden_size": 12, "intermediate_size": 12, "num_hidden_layers": 1}
    write_checkpoint(tmp_path / "small", CONFIG | small)
    size = write_checkpoint(tmp_path / "large", CONFIG)
    arguments = [str(tmp_path / name) for name in ("small", "presets", "large")]
    (tmp_path / "presets").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True
    )
    peak, looks = map(int, done.stdout.split()[-2:])
    assert size > 300e6
    assert looks > 50
    # The weights themselves are in it: less would say that nothing was measured.
    assert 0.9 * size < peak < 1.5 * size
