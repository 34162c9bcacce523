"""Runs the notebooks: in a quick mode that CI can afford, or in full, keeping what they show.

    python notebooks/execute.py --quick            every notebook, shortened, written nowhere
    python notebooks/execute.py                    every notebook in full, outputs stored in it
    python notebooks/execute.py 06 --output out    one of them, stored in another folder

The second cell of a notebook that is code holds its lengths (`epochs = 3`) and is tagged
`parameters`. The notebook's metadata says, under `keras_geneformer.quick`, which of them are
shorter in quick mode; these are set in a cell after it. Nothing else differs.

Data are looked for in the folder that KERAS_GENEFORMER_DATA names. A notebook runs in an empty
folder, and what it writes there goes with it.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbclient
import nbformat

FOLDER = Path(__file__).resolve().parent
SECONDS = 20
"""What a notebook may take in quick mode, beside which its seconds are printed."""
LONGEST_CELL = 3600
"""Seconds after which a cell is taken to hang."""


def notebooks(starts: list[str]) -> list[Path]:
    """The notebooks whose names begin with one of `starts`, in order; all where it is empty."""
    every = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
    chosen = [path for path in every if not starts or path.name.startswith(tuple(starts))]
    for start in starts:
        if not any(path.name.startswith(start) for path in every):
            known = ", ".join(path.stem for path in every)
            raise SystemExit(f"no notebook begins with {start!r}; there are {known or 'none'}")
    return chosen


def code_sha256(notebook: Any) -> str:
    """What tells whether the code of a notebook is still the code whose outputs it keeps."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


def parameters_cell(notebook: Any, name: str) -> int:
    """The index of the cell with the notebook's lengths."""
    found = [
        index
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", [])
    ]
    if len(found) != 1:
        raise ValueError(f"{name} has {len(found)} cells tagged 'parameters', it should have one")
    return found[0]


def shortened(notebook: Any, name: str) -> Any:
    """A copy of the notebook with its quick lengths set, each of which it must know."""
    quick = dict(notebook.metadata.get("keras_geneformer", {}).get("quick", {}))
    index = parameters_cell(notebook, name)
    known: dict[str, Any] = {}
    exec(compile(notebook.cells[index].source, name, "exec"), known)
    unknown = sorted(set(quick) - set(known))
    if not quick or unknown:
        raise ValueError(
            f"{name}: quick lengths {quick}, of which {unknown} are not its parameters"
        )
    copy = nbformat.from_dict(notebook)
    lines = "\n".join(f"{key} = {value!r}" for key, value in quick.items())
    copy.cells.insert(index + 1, nbformat.v4.new_code_cell(f"# quick mode\n{lines}"))
    return copy


def execute(path: Path, quick: bool, output: Path = FOLDER) -> float:
    """Run one notebook from its first cell to its last, and store it in full; its seconds."""
    notebook = nbformat.read(path, as_version=4)
    running = shortened(notebook, path.name) if quick else notebook
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        nbclient.NotebookClient(
            running,
            timeout=LONGEST_CELL,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": folder}},
            # What C++ code logs is no result, and names the machine.
            extra_arguments=["--IPKernelApp.capture_fd_output=False"],
        ).execute()
    seconds = time.monotonic() - began
    if not quick:
        # The kernel's patch version is no one's business, and would change with every run.
        notebook.metadata.pop("language_info", None)
        notebook.metadata["keras_geneformer"]["code_sha256"] = code_sha256(notebook)
        output.mkdir(parents=True, exist_ok=True)
        beside = output / f".{path.name}.partial"
        nbformat.write(notebook, beside)
        beside.replace(output / path.name)
    return seconds


def main() -> int:
    """Run what was asked for, and say how long each took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="beginnings of names; default: every notebook")
    parser.add_argument("--quick", action="store_true", help="shortened, and not written")
    parser.add_argument(
        "--output", type=Path, default=FOLDER, help="where they are stored (default: in place)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="notebooks side by side (default 1)")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    failed = []

    def run(path: Path) -> None:
        try:
            seconds = execute(path, options.quick, options.output)
        except Exception as error:  # one broken notebook must not hide the others
            failed.append(path.name)
            print(f"FAILED {path.name}\n{error}", flush=True)
            return
        mark = f"   OVER {SECONDS} s" if options.quick and seconds > SECONDS else ""
        print(f"{seconds:6.1f} s  {path.name}{mark}", flush=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(run, notebooks(options.names)))
    if failed:
        print(f"{len(failed)} failed: {', '.join(sorted(failed))}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
