"""The verb `demo`."""

import argparse
from collections.abc import Callable


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `demo`."""
    verb = add(
        "demo",
        _run,
        "the whole way on real cells, offline: tokenize, pretrain, fine-tune, embed, perturb, draw",
        "700 blood cells that come with scanpy go through geneformer_mini, the small model that\n"
        "comes with this package, trained further on them. Takes a few minutes on two cores and\n"
        "writes report.html, figures (png) and tables (csv).\n"
        "Needs the extra `demo`: pip install 'keras_geneformer[demo]'.",
        "keras-geneformer demo --output demo-report",
        trains=True,
    )
    verb.add_argument(
        "--output", default="demo-report", help="directory to write (default: %(default)s)"
    )
    verb.add_argument("--seed", type=int, default=0, help="of every draw (default: %(default)s)")


def _run(options: argparse.Namespace) -> None:
    from keras_geneformer.demo import run_demo

    result = run_demo(output=options.output, seed=options.seed, progress=True)
    print(f"\n{result.summary}\n")
    print(result.scores[["method", "accuracy", "macro_f1"]].round(3).to_string(index=False))
    print(f"\nthe report: {result.output / 'report.html'} ({sum(result.seconds.values()):.0f} s)")
