"""The command `keras-geneformer VERB`: one verb a capability.

Results go to files, a short summary to stdout, progress and warnings to stderr. An error that the
user can mend is one line beginning with `error:` and exit code 2; `--debug` shows where it arose.
Nothing heavy is imported before the verb is known.
"""

import argparse
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from keras_geneformer import __version__
from keras_geneformer.backend import BACKENDS, INFERENCE_BACKENDS, require_backend
from keras_geneformer.cli import (
    attention,
    batch_effects,
    cells,
    conversion,
    demo,
    distillation,
    embedding,
    evaluation,
    exporting,
    genes,
    multitask,
    networks,
    perturbation,
    perturbation_stats,
    pretraining,
    pruning,
    quantization,
    search,
    studies,
    tokenization,
    training,
    upload,
    vocabulary,
)
from keras_geneformer.cli.messages import for_the_command_line

__all__ = ["main"]

_EXPECTED = (ValueError, OSError, ImportError, FloatingPointError, MemoryError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        arguments: what stands after `keras-geneformer`; `sys.argv` by default.

    Returns:
        The exit code: 0, 1 where files were left out and named, 2 after an error, 130 after
        Ctrl-C. (Wrong options and `--help` exit by `SystemExit`, as argparse does.)

    Example:
        >>> from keras_geneformer.cli import main
        >>> try:
        ...     main(["--version"])
        ... except SystemExit as stop:
        ...     print(stop.code)
        keras-geneformer ...
        0
    """
    options = _parser().parse_args(arguments)
    with _messages_for_users(options.debug):
        try:
            _choose_backend(options)
            if options.keras and not options.debug:
                _import_keras_quietly()
            return options.run(options) or 0
        except KeyboardInterrupt:
            resumes = options.resumes and not getattr(options, "no_resume", False)
            remedy = "; the same command goes on where it was" if resumes else ""
            print(f"interrupted{remedy}", file=sys.stderr)
            return 130
        except _EXPECTED as error:
            if options.debug:
                raise
            print(f"error: {_one_line(error)}", file=sys.stderr)
            return 2


@contextmanager
def _messages_for_users(debug: bool) -> Iterator[None]:
    """Warnings and log lines on stderr, in one line each; as they were afterwards.

    Files from the hub are named with their checksums, a screen with its noise. With --debug
    everything is said.
    """
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    told = ("keras_geneformer.hub", "keras_geneformer.screen")
    levels = dict.fromkeys(told, logging.INFO) | (
        {"keras_geneformer": logging.DEBUG} if debug else {}
    )
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.showwarning = _show_warning
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keras-geneformer",
        description="Geneformer in Keras 3: from counts to tokens, cell types, embeddings and "
        "in silico perturbation.",
        epilog="`keras-geneformer VERB --help` describes a verb, with an example. Begin with "
        "`keras-geneformer demo`.",
    )
    parser.add_argument("--version", action="version", version=f"keras-geneformer {__version__}")
    # These stand before or after the verb. The verb's own copies have no default, so that they do
    # not undo what was said before it.
    _add_global_options(parser, backend=None, debug=False)
    after = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    _add_global_options(after)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def add(
        name: str,
        run: Any,
        summary: str,
        details: str,
        example: str,
        *,
        keras: bool = True,
        trains: bool = False,
        resumes: bool = False,
    ) -> argparse.ArgumentParser:
        verb = verbs.add_parser(
            name,
            parents=[after],
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.\n\n{details}",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb.set_defaults(run=run, verb=name, keras=keras, trains=trains, resumes=resumes)
        return verb

    for part in (
        demo,
        tokenization,
        vocabulary,
        cells,
        pretraining,
        training,
        multitask,
        evaluation,
        genes,
        search,
        studies,
        embedding,
        batch_effects,
        perturbation,
        perturbation_stats,
        attention,
        networks,
        pruning,
        distillation,
        conversion,
        quantization,
        exporting,
        upload,
    ):
        part.add_verbs(add)
    return parser


def _add_global_options(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    parser.add_argument(
        "--backend",
        choices=(*BACKENDS, *INFERENCE_BACKENDS),
        help="what Keras computes with; openvino only infers (default: KERAS_BACKEND, else "
        "Keras's configuration, else tensorflow)",
    )
    parser.add_argument("--debug", action="store_true", help="show where an error arose")
    parser.set_defaults(**defaults)


def _choose_backend(options: argparse.Namespace) -> None:
    """Keras reads its backend once, when it is first imported: say it before."""
    chosen = options.backend or os.environ.get("KERAS_BACKEND")
    if chosen in INFERENCE_BACKENDS and options.trains:
        raise ValueError(
            f"the backend {chosen} only infers, and {options.verb} trains: choose one of "
            f"{', '.join(BACKENDS)} with --backend"
        )
    if options.backend:
        loaded = getattr(sys.modules.get("keras"), "config", None)
        if loaded is not None and loaded.backend() != options.backend:
            raise ValueError(
                f"Keras runs already on {loaded.backend()} in this process, and cannot change to "
                f"{options.backend}: start another process"
            )
        os.environ["KERAS_BACKEND"] = options.backend


def _import_keras_quietly() -> None:
    """Import Keras and its backend without TensorFlow's notes on how it was built.

    They come from C++ code that no setting silences, so the stream itself is turned aside; where
    the import fails, what it said is shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    require_backend()
    sys.stderr.flush()
    stream = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            import keras  # noqa: F401
        except BaseException:
            aside.seek(0)
            os.write(stream, aside.read())
            raise
        finally:
            os.dup2(stream, 2)
            os.close(stream)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Warnings meant for users, on one line; those between libraries are left to --debug."""
    if issubclass(category, UserWarning):
        text = for_the_command_line(" ".join(str(message).split()))
        print(f"warning: {text}", file=sys.stderr)


def _one_line(error: BaseException) -> str:
    return for_the_command_line(" ".join(str(error).split())) or type(error).__name__
