import h5py
import numpy as np
import pytest
from count_files import texts, write_loom

from keras_geneformer.testing import synthetic_cells
from keras_geneformer.tokenization.readers import dense_rows
from keras_geneformer.tokenization.readers.sources import opened


def message_of(path, layer=None):
    with pytest.raises(ValueError) as caught, opened(path, layer) as source:  # noqa: PT011
        source.read(0, len(source))
    return str(caught.value)


def test_attributes(tmp_path):
    adata = synthetic_cells(30)
    path = write_loom(adata, tmp_path / "x.loom")
    with h5py.File(path, "r+") as file:
        file["col_attrs/cell_type"] = texts(adata.obs["cell_type"])
        file["col_attrs/embedding"] = np.zeros((30, 2))
        file["col_attrs/site"] = np.array(["Zürich"] * 30, dtype=h5py.string_dtype())
        file["col_attrs/old"] = np.array(["Z\xfcrich".encode("latin-1")] * 30)
    with opened(path) as source:
        assert source.obs.index.tolist() == adata.obs_names.tolist()
        assert source.obs["cell_type"].tolist() == adata.obs["cell_type"].tolist()
        assert source.obs["site"].iloc[0] == "Zürich"
        assert source.obs["old"].iloc[0] == r"Z\xfcrich"
        assert "embedding" not in source.obs
        assert source.var.index.tolist() == adata.var["ensembl_id"].tolist()
        for ours, theirs in (("gene_ids", "ensembl_id"), ("symbol", "symbol")):
            assert source.var[ours].tolist() == adata.var[theirs].tolist()
        assert source.var["ensembl_id"].tolist() == adata.var["ensembl_id"].tolist()


def test_names_as_anndata_writes_them(tmp_path):
    adata = synthetic_cells(5)
    names = {"cells": "obs_names", "ids": "var_names", "symbols": "gene_short_name"}
    with opened(write_loom(adata, tmp_path / "x.loom", **names)) as source:
        assert source.obs.index.tolist() == adata.obs_names.tolist()
        assert source.var.index.tolist() == adata.var["ensembl_id"].tolist()


def test_without_any_name(tmp_path):
    names = {"cells": "a", "ids": "b", "symbols": "c"}
    with opened(write_loom(synthetic_cells(3), tmp_path / "x.loom", **names)) as source:
        assert source.obs.index.tolist() == ["0", "1", "2"]


def test_layers(tmp_path):
    adata = synthetic_cells(20)
    adata.layers["spliced"] = adata.X * 2
    path = write_loom(adata, tmp_path / "x.loom", layers=["spliced"])
    with opened(path, "spliced") as source:
        np.testing.assert_array_equal(source.read(0, 20).toarray(), 2 * adata.X.toarray())
    assert message_of(path, "raw") == f"{path} has no layer 'raw'; it has spliced"


def test_chunks_over_many_cells(tmp_path, monkeypatch):
    """Chunks are read once each, or go to a scratch copy where they hold too many cells."""
    adata = synthetic_cells(90)
    path = write_loom(adata, tmp_path / "x.loom", chunks=(7, 60))
    monkeypatch.setattr(dense_rows, "BLOCK_VALUES", 1000)
    reads = []
    original = h5py.Dataset.__getitem__

    def counted(self, where, **options):
        if self.name == "/matrix":
            reads.append((where[0].start, where[1].start))
        return original(self, where, **options)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    for kept, sequential in ((2**28, False), (60 * 119, True)):
        monkeypatch.setattr(dense_rows, "KEPT_VALUES", kept)
        reads.clear()
        with opened(path) as source:
            assert source.sequential == sequential
            found = np.concatenate([rows.toarray() for _, rows in source.chunks(11)])
        np.testing.assert_array_equal(found, adata.X.toarray())
        assert len(reads) == len(set(reads)) == 2 * -(-120 // 14)


def test_damaged_files(tmp_path):
    adata = synthetic_cells(20)
    path = tmp_path / "x.loom"
    for name, value, what in [
        (
            "row_attrs/Gene",
            texts(["a"] * 119),
            "row_attrs/Gene has 119 entries, and the matrix 120 of them",
        ),
        (
            "col_attrs/CellID",
            texts(["a"] * 21),
            "col_attrs/CellID has 21 entries, and the matrix 20 of them",
        ),
        ("matrix", np.zeros(20), "/matrix is no 2-D array"),
        ("col_attrs", None, "it has no group col_attrs"),
    ]:
        with h5py.File(write_loom(adata, path), "r+") as file:
            del file[name]
            if value is not None:
                file[name] = value
        assert message_of(path) == f"{path} is damaged: {what}. Copy or download it again"
    with h5py.File(write_loom(adata, path), "r+") as file:
        del file["matrix"]
        file["matrix"] = np.zeros((120, 20), np.float16)
    what = "/matrix holds float16; expected integers, float32 or float64"
    assert message_of(path) == f"{path}: {what}"


def test_damaged_chunk(tmp_path):
    path = write_loom(synthetic_cells(20), tmp_path / "x.loom")
    with h5py.File(path) as file:
        stored = file["matrix"].id.get_chunk_info(1)
    with path.open("r+b") as file:
        file.seek(stored.byte_offset)
        file.write(b"\xff" * stored.size)
    message = message_of(path)
    assert message.startswith(f"{path} is damaged: cells 0 to 20 are unreadable (")
    assert message.endswith("). Copy or download it again")
    path.write_bytes(path.read_bytes()[:-100])
    assert message_of(path).startswith(f"{path} is truncated or damaged: ")
