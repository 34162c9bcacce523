import re
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from keras_geneformer import GeneVocabulary, RankValueTokenizer
from keras_geneformer.testing import synthetic_cells, tiny_vocabulary
from keras_geneformer.tokenization.readers import expand_paths, opened


def tokenizer():
    return RankValueTokenizer(tiny_vocabulary())


def written(path, adata=None):
    (adata or synthetic_cells(20)).write_h5ad(path)
    return path


@pytest.mark.parametrize("layout", ["csr", "csc", "dense", "gzip", "int"])
@pytest.mark.parametrize("place", ["X", "layer", "raw"])
def test_every_layout_and_place_gives_the_same(tmp_path, layout, place):
    adata = synthetic_cells(700)  # more than one chunk
    expected = tokenizer()(adata)
    layouts = {"csc": sp.csc_matrix, "dense": sp.csr_matrix.toarray}
    adata.X = layouts.get(layout, sp.csr_matrix)(adata.X)
    if layout == "int":
        adata.X = adata.X.astype(np.int32)
    layer = {"X": None, "layer": "counts", "raw": "raw"}[place]
    if place == "raw":
        adata.raw = adata.copy()
    if place == "layer":
        adata.layers["counts"] = adata.X
    if place != "X":
        adata.X = -adata.X
    path = tmp_path / "x.h5ad"
    adata.write_h5ad(path, compression="gzip" if layout == "gzip" else None)
    backed = anndata.read_h5ad(path, backed="r")
    for cells in (
        tokenizer()(adata, layer=layer),
        tokenizer().tokenize_files(path, layer=layer),
        tokenizer()(backed, layer=layer),
    ):
        np.testing.assert_array_equal(cells.token_ids, expected.token_ids)
        np.testing.assert_array_equal(cells.offsets, expected.offsets)
    backed.file.close()


def test_rows_are_read_in_chunks(tmp_path):
    adata = synthetic_cells(25)
    with opened(written(tmp_path / "x.h5ad", adata)) as source:
        chunks = [(start, rows.toarray()) for start, rows in source.chunks(10)]
    assert [start for start, _ in chunks] == [0, 10, 20]
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in chunks]), adata.X.toarray())


def test_reading_changes_nothing(tmp_path):
    adata = synthetic_cells(20)
    path = written(tmp_path / "x.h5ad", adata)
    before = adata.copy()
    data = path.read_bytes()
    tokenizer()(adata)
    tokenizer().tokenize_files(path)
    GeneVocabulary.fit(adata)
    assert path.read_bytes() == data
    assert (adata.X != before.X).nnz == 0
    assert adata.obs.equals(before.obs)
    assert adata.var.equals(before.var)


def message_of(path, error=ValueError, **options):
    with pytest.raises(error) as caught:
        tokenizer().tokenize_files(path, **options)
    return str(caught.value)


def test_truncated_file(tmp_path):
    path = written(tmp_path / "x.h5ad")
    whole = path.read_bytes()
    for size in (9, 1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        message = message_of(path, output=tmp_path / "out.dataset")
        assert message.startswith(f"{path} is truncated or damaged: ")
        assert message.endswith("Fetch it again")
        assert [entry.name for entry in tmp_path.iterdir()] == ["x.h5ad"]


def test_damaged_chunk(tmp_path):
    adata = synthetic_cells(400)
    path = tmp_path / "x.h5ad"
    adata.write_h5ad(path, compression="gzip")
    with h5py.File(path) as file:
        data = file["X/data"]
        stored = data.id.get_chunk_info(data.id.get_num_chunks() - 1)
    with path.open("r+b") as file:
        file.seek(stored.byte_offset)
        file.write(b"\xff" * stored.size)
    message = message_of(path, output=tmp_path / "out.dataset")
    assert re.match(
        rf"{path} is damaged: cells \d+ to \d+ are unreadable \(.*\)\. Copy or down", message
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.h5ad"]


def changed(path, name, value):
    with h5py.File(path, "r+") as file:
        del file[name]
        if value is not None:
            file[name] = value


@pytest.mark.parametrize("layout", [sp.csr_matrix, sp.csc_matrix])
def test_damaged_sparse_matrix(tmp_path, layout):
    adata = synthetic_cells(20)
    adata.X = layout(adata.X)
    stored, lines = adata.X.nnz, len(adata.X.indptr)
    width = adata.n_vars if layout is sp.csr_matrix else adata.n_obs
    falling, late = adata.X.indptr.copy(), adata.X.indptr.copy()
    falling[3], late[0] = stored + 5, 1
    negative, large = adata.X.indices.copy(), adata.X.indices.copy()
    negative[2], large[2] = -1, width
    rises = f"/X/indptr does not rise from 0 to {stored}"
    reach = rf"/X/indices reach from -?\d+ to \d+, expected 0 to {width - 1}"
    path = tmp_path / "x.h5ad"
    for name, value, what in [
        ("data", None, "/X has no 1-D array data"),
        ("indices", None, "/X has no 1-D array indices"),
        ("indptr", None, "/X has no 1-D array indptr"),
        ("data", adata.X.data[:-1], f"/X has {stored - 1} values and {stored} indices"),
        ("indptr", adata.X.indptr[:-1], f"/X/indptr has {lines - 1} entries, not {lines}"),
        ("indptr", adata.X.indptr * 1.0, "/X/indptr holds float64, not integers"),
        ("indptr", falling, rises),
        ("indptr", late, rises),
        ("indices", negative, reach),
        ("indices", large, reach),
    ]:
        changed(written(path, adata), f"X/{name}", value)
        pattern = rf"{re.escape(str(path))} is damaged: {what}\. Copy or download it again"
        assert re.fullmatch(pattern, message_of(path))
    with h5py.File(written(path, adata), "r+") as file:
        del file["X"].attrs["shape"]
    assert f"{path} is damaged: /X has no attribute shape. " in message_of(path)


def test_damaged_tables(tmp_path):
    path = written(tmp_path / "x.h5ad")
    changed(path, "obs/n_counts", None)
    assert message_of(path).startswith(f"{path} is damaged: obs is unreadable (")
    with h5py.File(written(path), "r+") as file:
        file["var"].attrs["encoding-type"] = "nonsense"
    assert message_of(path).startswith(f"{path} is damaged: var is unreadable (")


def test_matrices_that_hold_no_counts(tmp_path):
    path = written(tmp_path / "x.h5ad")
    changed(path, "X", np.ones(20))
    assert message_of(path) == f"{path}: /X has shape (20,); expected (cells, genes)"
    for kind in (np.float16, "S3"):
        changed(path, "X", np.ones((20, 120)).astype(kind))
        what = f"/X holds {np.dtype(kind)}; expected integers, float32 or float64"
        assert message_of(path) == f"{path}: {what}"


def test_files_that_are_no_h5ad(tmp_path):
    path = tmp_path / "x.h5ad"
    path.write_bytes(b"")
    assert message_of(path) == f"{path} is empty (0 bytes); expected an .h5ad file"
    path.write_bytes(b"cell,gene\n" * 100)
    start = r"b'cell,gen'"
    assert (
        message_of(path) == f"{path} is not an .h5ad file but no HDF5 file (it starts with {start})"
    )
    path.write_bytes(b"\x1f\x8b" + bytes(100))
    assert f"{path} is not an .h5ad file but a gzip file: gunzip it first" in message_of(path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n")
    assert message_of(path) == f"{path} is a Git-LFS pointer, not the file: run `git lfs pull`"


def hdf5(path, names):
    with h5py.File(path, "w") as file:
        for name in names:
            file.create_group(name)
    return path


def test_other_hdf5_files(tmp_path):
    path = tmp_path / "x.h5ad"
    assert "is a loom file; expected .h5ad" in message_of(hdf5(path, ["matrix", "row_attrs"]))
    assert "is a 10x .h5 file; expected .h5ad" in message_of(hdf5(path, ["matrix"]))
    assert message_of(hdf5(path, ["model_weights"])) == (
        f"{path} is HDF5 but no .h5ad: it has model_weights; expected X, obs and var"
    )


def test_missing_layers(tmp_path):
    adata = synthetic_cells(5)
    adata.layers["counts"] = adata.X
    path = written(tmp_path / "x.h5ad", adata)
    assert message_of(path, layer="raw") == f"{path} has no layer 'raw'; it has counts"
    with pytest.raises(ValueError, match=r"^adata has no layer 'nothing'; it has counts$"):
        tokenizer()(adata, layer="nothing")
    del adata.X
    written(path, adata)
    assert message_of(path) == f"{path} has no X; give layer= one of: counts"
    with pytest.raises(ValueError, match=r"^adata has no X; give layer= one of: counts$"):
        tokenizer()(adata)


def test_paths(tmp_path, monkeypatch):
    for name in ("b.h5ad", "a.h5ad", "c.txt"):
        (tmp_path / name).touch()
    ours = [tmp_path / "a.h5ad", tmp_path / "b.h5ad"]
    assert expand_paths(tmp_path) == ours
    assert expand_paths(f"{tmp_path}/*.h5ad") == ours
    assert expand_paths([tmp_path / "b.h5ad", str(tmp_path / "a.h5ad"), tmp_path]) == ours
    monkeypatch.chdir(tmp_path)
    assert expand_paths("?.h5ad") == [Path("a.h5ad"), Path("b.h5ad")]
    with pytest.raises(FileNotFoundError, match=r"none\.h5ad: no such file, or no \.h5ad file in"):
        expand_paths("none.h5ad")
    with pytest.raises(ValueError, match="no files were given"):
        expand_paths([])


def test_something_else_than_an_anndata():
    with pytest.raises(
        TypeError, match=r"got a str; expected an AnnData \(for files: tokenize_fil"
    ):
        tokenizer()("x.h5ad")
