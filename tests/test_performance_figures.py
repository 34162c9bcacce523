"""The pictures of the performance page: every bar is a number of the benchmarks' tables."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def figures():
    spec = importlib.util.spec_from_file_location("figures", BENCHMARKS / "figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def text():
    return (BENCHMARKS / "README.md").read_text(encoding="utf-8")


def _bars(axes) -> dict[str, float]:
    names = [label.get_text() for label in axes.get_yticklabels()]
    return dict(zip(names, (round(bar.get_width(), 2) for bar in axes.patches)))


def test_bars_are_the_ratios_of_the_tables(figures, text, tmp_path):
    drawn = {name: draw(text, None) for name, draw in figures.PICTURES.items()}
    figures.draw_embedding(text, tmp_path / "embedding.png")
    assert (tmp_path / "embedding.png").read_bytes().startswith(b"\x89PNG")
    assert _bars(drawn["performance-embedding.png"][0]) == {
        **{"openvino": 2.79, "torch": 2.22, "tensorflow": 2.19, "jax": 1.31, "transformers": 1.0}
    }
    lengths, whole = drawn["performance-training.png"]
    assert _bars(lengths) == {"tensorflow": 3.2, "torch": 2.72, "transformers": 1.0}
    assert _bars(whole) == {"tensorflow": 3.33, "torch": 2.56, "jax": 1.37, "transformers": 1.0}
    short, long = map(_bars, drawn["performance-perturbation.png"])
    assert (short["openvino"], short["openvino-int8"], short["tensorflow"]) == (4.52, 8.98, 3.89)
    assert (long["openvino"], long["jax"]) == (2.87, 1.33)
    tokenizing = _bars(drawn["performance-tokenizing.png"][0])
    assert tokenizing["uncompressed, 2 processes"] == round(16920 / 2380, 2)
    assert tokenizing["uncompressed, helical"] == 1.0
    sizes, accuracy = drawn["performance-compression.png"]
    assert _bars(sizes)["int8"] == round(2.07 / 6.65, 2)
    assert 0.776 in accuracy.collections[1].get_offsets()[:, 0]
    for panels in drawn.values():
        assert "core" in panels[0].figure._supxlabel.get_text()


def test_ratios_are_those_of_the_measured_times(figures, text):
    # Each against the peer of its own run: the last one above it in the table.
    checked, peer = 0, np.nan
    for heading, tables in figures.read_tables(text).items():
        for table in tables:
            seconds = next((name for name in ("s a cell", "s a gene") if name in table), None)
            ratio = next((n for n in ("speed against transformers", "speed") if n in table), None)
            if seconds is None or ratio is None:
                continue
            for name, row in table.iterrows():
                own = figures.number(row[seconds])
                peer = own if name.startswith("transformers") else peer
                assert figures.number(row[ratio]) == pytest.approx(peer / own, rel=0.01), (
                    heading,
                    name,
                )
                checked += 1
    assert checked > 20


def test_tables_and_numbers_are_read_as_they_stand(figures, text):
    tables = figures.read_tables(
        "# A\n| x | y, MB |\n|---|---|\n| **a** | 1,024 |\n| b | |\n\n## B\n"
    )
    assert list(tables) == ["A"]
    assert tables["A"][0]["y, MB"].map(figures.number).tolist()[:1] == [1024.0]
    assert np.isnan(figures.number(tables["A"][0].loc["b", "y, MB"]))
    assert figures.machine(text, "Tokenizing").startswith("2 cores of an AMD EPYC with AVX-512")
    assert "AVX2 and no AVX-512" in figures.machine(text, "Smaller models")
