"""Forward pass and training step of the V1 model against `transformers`, in one run.

    python benchmarks/model_speed.py forward        # 4 cells x 2048 tokens
    python benchmarks/model_speed.py train          # 2 cells x 2048 tokens

Each engine runs in a process of its own, on the same cores, in turns: `--rounds` times round the
engines, `--repeats` timed steps each after a warm-up. The table gives the median over all timed
steps, the highest peak of resident memory, and the ratio to `transformers` in the same run.

`forward` is what an embedding needs: hidden states after the second-to-last block. The peer is
called as the published package calls it, `BertForMaskedLM(..., output_hidden_states=True)`, which
computes the last block and the scores of all tokens too. `train` is one step of masked-LM training
with the published dropout of 0.02 and AdamW, 15 % of the tokens masked.
"""

import sys

# A script beside this one is called as a module of the standard library is.
sys.path.pop(0)

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import time
from importlib.metadata import version

VOCABULARY_SIZE, LENGTH = 25_426, 2048
CELLS = {"forward": 4, "train": 2}
ENGINES = {
    "forward": ["transformers", "openvino", "tensorflow", "torch", "jax"],
    "train": ["transformers", "tensorflow", "torch", "jax"],
}


def tokens(cells):
    """Full-length cells of random genes, and the positions and genes to predict."""
    import numpy as np

    rng = np.random.default_rng(0)
    token_ids = np.stack(
        [rng.permutation(VOCABULARY_SIZE - 2)[:LENGTH] + 2 for _ in range(cells)]
    ).astype("int32")
    masks = round(0.15 * LENGTH)
    positions = np.stack([np.sort(rng.permutation(LENGTH)[:masks]) for _ in range(cells)])
    return token_ids, positions.astype("int32")


def transformers_step(job):
    """The peer's step."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    model = BertForMaskedLM(
        BertConfig(
            vocab_size=VOCABULARY_SIZE,
            hidden_size=256,
            num_hidden_layers=6,
            num_attention_heads=4,
            intermediate_size=512,
            hidden_act="relu",
            hidden_dropout_prob=0.02,
            attention_probs_dropout_prob=0.02,
            max_position_embeddings=LENGTH,
            layer_norm_eps=1e-12,
        )
    )
    token_ids, positions = tokens(CELLS[job])
    token_ids = torch.tensor(token_ids, dtype=torch.long)
    mask = torch.ones_like(token_ids)
    if job == "forward":
        model.eval()

        def step():
            with torch.no_grad():
                model(input_ids=token_ids, attention_mask=mask, output_hidden_states=True)

        return step

    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.001)
    positions = torch.tensor(positions, dtype=torch.long)
    labels = torch.full_like(token_ids, -100)
    labels.scatter_(1, positions, token_ids.gather(1, positions))

    def step():
        optimizer.zero_grad()
        model(input_ids=token_ids, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()

    return step


def keras_step(job):
    """Our step, on the backend that KERAS_BACKEND names."""
    import keras
    import numpy as np

    from keras_geneformer.data.inference import compile_forward
    from keras_geneformer.models.masked_lm import GeneformerMaskedLM
    from keras_geneformer.models.sizes import v1_10m

    token_ids, positions = tokens(CELLS[job])
    inputs = {"token_ids": token_ids, "padding_mask": np.ones_like(token_ids)}
    backbone = v1_10m()
    if job == "forward":
        forward = compile_forward(backbone.hidden_state_model(-2))
        return lambda: forward(inputs)

    model = GeneformerMaskedLM(backbone)
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-4, weight_decay=0.001),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.config.backend() == "jax",
    )
    inputs["mask_positions"] = positions
    labels = np.take_along_axis(token_ids, positions, axis=1)
    return lambda: model.train_on_batch(inputs, labels)


def work(engine, job, repeats):
    """Run one engine in this process; seconds a step and peak memory in GB as JSON."""
    step = transformers_step(job) if engine == "transformers" else keras_step(job)
    step()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print("RESULT", json.dumps({"seconds": seconds, "peak": peak}))


def measure(engine, job, repeats):
    """Run one engine in a process of its own."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if engine != "transformers":
        environment["KERAS_BACKEND"] = engine
    command = [sys.executable, __file__, job, "--engine", engine, "--repeats", str(repeats)]
    output = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


def main():
    """Parse the command line, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", choices=CELLS)
    parser.add_argument("--engines", nargs="+", help="transformers always runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine:
        work(arguments.engine, arguments.job, arguments.repeats)
        return

    engines = ["transformers"] + [
        engine for engine in arguments.engines or ENGINES[arguments.job] if engine != "transformers"
    ]
    results = {engine: {"seconds": [], "peak": 0.0} for engine in engines}
    for round_ in range(arguments.rounds):
        for engine in engines:
            result = measure(engine, arguments.job, arguments.repeats)
            results[engine]["seconds"] += result["seconds"]
            results[engine]["peak"] = max(results[engine]["peak"], result["peak"])
            median = statistics.median(result["seconds"])
            print(f"round {round_ + 1}: {engine} {median:.2f} s", file=sys.stderr, flush=True)

    cells = CELLS[arguments.job]
    peer = results["transformers"]
    peer_seconds = statistics.median(peer["seconds"])
    packages = ["keras", "tensorflow", "jax", "torch", "transformers", "openvino"]
    print(
        f"{arguments.job}: {cells} x {LENGTH} tokens, {os.cpu_count()} cores "
        f"({platform.machine()}), Python {platform.python_version()}, "
        + ", ".join(f"{package} {version(package)}" for package in packages)
    )
    print("\n| engine | s a step | s a cell | speed against transformers | peak GB | memory |")
    print("|---|---|---|---|---|---|")
    for engine in engines:
        seconds = statistics.median(results[engine]["seconds"])
        peak = results[engine]["peak"]
        print(
            f"| {engine} | {seconds:.2f} | {seconds / cells:.3f} | {peer_seconds / seconds:.2f}x "
            f"| {peak:.2f} | {peak / peer['peak']:.2f}x |"
        )


if __name__ == "__main__":
    main()
