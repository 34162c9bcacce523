"""Where example data come from: a folder, a server on loopback, or the bundled cells instead."""

import hashlib
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import keras_geneformer as kg
from keras_geneformer.examples import sources


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No folder of data, no cache but an empty one, and no way out."""
    monkeypatch.delenv("KERAS_GENEFORMER_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def served(monkeypatch, tmp_path):
    """Serves bytes on loopback as the source of "kang"; returns what to call with them."""
    servers = []

    def serve(body: bytes, sha256: str):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        source = sources.SOURCES["kang"]
        changed = {"url": f"http://127.0.0.1:{server.server_port}/kang", "sha256": sha256}
        monkeypatch.setitem(
            sources.SOURCES, "kang", sources.ExampleSource(**{**vars(source), **changed})
        )

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def published_kang(tmp_path):
    """A file with the columns of the published one: counts in X, `label`, `replicate`."""
    adata = anndata.AnnData(
        X=sp.csr_matrix(np.arange(12, dtype=np.float32).reshape(3, 4)),
        obs=pd.DataFrame(
            {
                "label": ["ctrl", "stim", "ctrl"],
                "replicate": ["a", "b", "a"],
                "cell_type": ["B", "T", "T"],
                "tsne": [1.0, 2.0, 3.0],
            },
            index=["x", "y", "z"],
        ),
        var=pd.DataFrame(index=["ISG15", "ACTB", "GAPDH", "CD8A"]),
    )
    path = tmp_path / "published.h5ad"
    adata.write_h5ad(path)
    return path.read_bytes()


def test_a_folder_is_looked_in_first(counts, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_GENEFORMER_DATA", str(counts))
    adata = kg.example_counts("brain_ad")
    assert adata.shape == (48, 1000)
    assert set(adata.obs["condition"]) == {"AD", "control"}
    assert "read from brain_ad_48x1000.h5ad" in capsys.readouterr().out


def test_a_download_is_held_to_its_sha256_and_brought_to_our_columns(
    served, published_kang, capsys
):
    served(published_kang, hashlib.sha256(published_kang).hexdigest())
    adata = kg.example_counts("kang")
    assert list(adata.obs) == ["condition", "cell_type", "donor"]
    assert adata.obs["condition"].tolist() == ["ctrl", "stim", "ctrl"]
    np.testing.assert_array_equal(adata.X.toarray(), np.arange(12).reshape(3, 4))
    assert list(adata.var_names) == ["ISG15", "ACTB", "GAPDH", "CD8A"]
    assert "sha256 as published" in capsys.readouterr().out


def test_another_file_than_the_published_one_is_refused_until_that_is_saved_where_it_says(
    served, published_kang, tmp_path
):
    served(published_kang + b"more", hashlib.sha256(published_kang).hexdigest())
    message = r"is not the published file \(sha256 .*it was not kept"
    with pytest.raises(ValueError, match=message) as refused:
        kg.example_counts("kang")
    assert list((tmp_path / "cache").rglob("kang*")) == []

    (place,) = re.findall(r"save the published file as (\S+): ", str(refused.value))
    Path(place).write_bytes(published_kang)
    assert list(kg.example_counts("kang").obs) == ["condition", "cell_type", "donor"]


def test_pancreas_counts_are_rounded_and_named_as_ours():
    layer = sp.csr_matrix(np.array([[0.999, 0.0, 3.02], [0.2, 2.0, 0.0]], dtype=np.float32))
    adata = anndata.AnnData(
        X=layer.copy(),
        obs=pd.DataFrame({"tech": ["a", "b"], "celltype": ["alpha", "beta"]}, index=["x", "y"]),
        layers={"counts": layer},
    )
    ours = sources.SOURCES["pancreas"].prepare(adata)
    np.testing.assert_array_equal(ours.X.toarray(), [[1, 0, 3], [0, 2, 0]])
    assert ours.X.nnz == 3
    assert list(ours.obs) == ["cell_type", "tech"]


def test_symbols_that_stand_twice_stay_beside_unique_names():
    adata = anndata.AnnData(
        X=sp.csr_matrix(np.eye(2, dtype=np.float32)),
        var=pd.DataFrame({"gene_ids": ["ENSG1", "ENSG2"]}, index=["MATR3", "MATR3"]),
    )
    ours = sources.SOURCES["pbmc3k"].prepare(adata)
    assert ours.var_names.tolist() == ["MATR3", "MATR3-1"]
    assert ours.var["symbol"].tolist() == ["MATR3", "MATR3"]
    assert ours.var["ensembl_id"].tolist() == ["ENSG1", "ENSG2"]


@pytest.mark.parametrize(("name", "column"), [("heart", "day"), ("kang", "condition")])
def test_bundled_cells_stand_in_and_it_is_said(name, column, capsys):
    adata = kg.example_counts(name, download=False)
    assert set(adata.obs[column]) == set(sources.SOURCES[name].stand_in[column].values())
    said = capsys.readouterr().out
    assert said.startswith(f"{name} cannot be had: no folder of data is named")
    assert "700 blood cells that come with scanpy stand in" in said


def test_every_stand_in_has_its_cells():
    for name, source in sources.SOURCES.items():
        adata = kg.example_counts(name, download=False)
        for column, names in source.stand_in.items():
            assert adata.obs[column].value_counts().min() >= 30
            assert set(adata.obs[column]) == set(names.values())


def test_what_cannot_be_had_is_an_error_where_nothing_may_stand_in(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"^heart cannot be had: there is no heart_ipsc_cm_day2_day5.h5ad in .*; it has no "
        r"address to download it from$",
    ):
        kg.example_counts("heart", folder=tmp_path, stand_in=False)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="no example data 'liver'; there are 'pbmc3k', "):
        kg.example_counts("liver")
