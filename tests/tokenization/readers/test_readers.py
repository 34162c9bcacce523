import fcntl
import re
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from count_files import FORMATS, write_mtx, write_zarr
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from keras_geneformer import GeneVocabulary, RankValueTokenizer
from keras_geneformer.testing import synthetic_cells, tiny_vocabulary
from keras_geneformer.tokenization.readers.sources import expand_paths, opened


def tokenizer():
    return RankValueTokenizer(tiny_vocabulary())


def written(path, adata=None):
    (adata or synthetic_cells(20)).write_h5ad(path)
    return path


def all_rows(source, layer=None, cells=256):
    with opened(source, layer) as counts:
        return np.concatenate([rows.toarray() for _, rows in counts.chunks(cells)])


@pytest.mark.parametrize("layout", ["csr", "csc", "dense", "gzip", "int"])
@pytest.mark.parametrize("place", ["X", "layer", "raw"])
def test_every_layout_and_place_gives_the_same(tmp_path, layout, place):
    adata = synthetic_cells(300)
    expected = adata.X.toarray()
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
    stores = [write_zarr(adata, tmp_path / "x.zarr", 3)] if layout in ("csr", "dense") else []
    for source in (adata, backed, path, *stores):
        np.testing.assert_array_equal(all_rows(source, layer), expected)
    with opened(backed, layer) as source:
        assert source.sequential == (layout == "csc" and place != "layer")
    part = backed[5:50]
    np.testing.assert_array_equal(all_rows(part, layer), expected[5:50])
    backed.file.close()


def state_of(path):
    """Every file at a place, with its time and bytes."""
    parts = [path] if path.is_file() else sorted(part for part in path.rglob("*") if part.is_file())
    return [(part, part.stat().st_mtime_ns, part.read_bytes()) for part in parts]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_tokens(tmp_path, name):
    adata = synthetic_cells(700)  # more than one chunk
    expected = tokenizer()(adata)
    path = FORMATS[name](adata, tmp_path / name)
    before = state_of(path)
    cells = tokenizer().tokenize_files(path)
    np.testing.assert_array_equal(cells.token_ids, expected.token_ids)
    np.testing.assert_array_equal(cells.offsets, expected.offsets)
    assert cells.obs.index.tolist() == expected.obs.index.tolist()
    assert state_of(path) == before


@pytest.mark.parametrize("name", FORMATS)
def test_any_range_of_rows_can_be_read(tmp_path, name, monkeypatch):
    from keras_geneformer.tokenization.readers import dense_rows, row_scratch, stored_matrix

    # So small that ranges cross every kind of border.
    monkeypatch.setattr(dense_rows, "BLOCK_VALUES", 64 * 130)
    monkeypatch.setattr(row_scratch, "BLOCK_ENTRIES", 1000)
    monkeypatch.setattr(stored_matrix, "BLOCK_ENTRIES", 1000)
    monkeypatch.setattr(stored_matrix, "_LARGE_CHUNK", 100)
    adata = synthetic_cells(200)
    expected = adata.X.toarray()
    path = FORMATS[name](adata, tmp_path / name)
    with opened(path) as source:
        assert len(source) == 200
        assert source.sequential == any(part in name for part in ("csc", "mtx"))
        for start, stop in [(0, 10), (10, 75), (75, 76), (76, 200), (3, 3), (150, 160), (0, 200)]:
            rows = source.read(start, stop)
            assert rows.shape == (stop - start, 120)
            np.testing.assert_array_equal(rows.toarray(), expected[start:stop])


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


def test_files_are_not_locked(tmp_path):
    path = written(tmp_path / "x.h5ad")
    with opened(path) as source, path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert source.read(0, 5).shape == (5, 120)


def message_of(path, error=ValueError, layer=None):
    with pytest.raises(error) as caught:
        all_rows(path, layer)
    return str(caught.value)


def test_truncated_file(tmp_path):
    path = written(tmp_path / "x.h5ad")
    whole = path.read_bytes()
    for size in (9, 1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        message = message_of(path)
        assert message.startswith(f"{path} is truncated or damaged: ")
        assert message.endswith("Fetch it again")


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
    assert re.match(
        rf"{path} is damaged: cells 256 to 400 are unreadable \(.*\)\. Copy or down",
        message_of(path),
    )


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


KNOWN = ".h5ad, .loom, .zarr, 10x .h5 or matrix.mtx"


def test_files_of_no_known_format(tmp_path):
    path = tmp_path / "x.h5ad"
    path.write_bytes(b"")
    expected = f"a file of counts ({KNOWN})"
    assert message_of(path) == f"{path} is empty (0 bytes); expected {expected}"
    path.write_bytes(b"cell,gene\n" * 100)
    start = r"b'cell,gen'"
    assert message_of(path) == (
        f"{path} is not {expected} but no HDF5 file (it starts with {start})"
    )
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n")
    assert message_of(path) == f"{path} is a Git-LFS pointer, not the file: run `git lfs pull`"
    zipped = tmp_path / "x.h5ad.gz"
    zipped.write_bytes(b"\x1f\x8b" + bytes(100))
    start = zipped.read_bytes()[:8]
    assert message_of(zipped) == (
        f"{zipped} is not {expected} but a gzip file: gunzip it first (it starts with {start!r})"
    )
    assert message_of(tmp_path) == (
        f"{tmp_path} is a directory without counts: it is no .zarr store and has no matrix.mtx or "
        f"matrix.mtx.gz; expected {KNOWN}"
    )
    assert "No such file" in message_of(tmp_path / "none.loom", FileNotFoundError)


def test_other_hdf5_files(tmp_path):
    path = tmp_path / "x.h5ad"
    with h5py.File(path, "w") as file:
        file.create_group("model_weights")
    assert message_of(path) == (
        f"{path} is HDF5 but no .h5ad, .loom or 10x .h5: it has model_weights; expected X, obs "
        "and var, or a matrix with row_attrs or barcodes"
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
    for name in ("b.h5ad", "a.h5ad", "c.txt", ".hidden.h5ad"):
        (tmp_path / name).touch()
    ours = [tmp_path / "a.h5ad", tmp_path / "b.h5ad"]
    assert expand_paths(tmp_path) == ours
    assert expand_paths(f"{tmp_path}/*.h5ad") == ours
    assert expand_paths([tmp_path / "b.h5ad", str(tmp_path / "a.h5ad"), tmp_path]) == ours
    monkeypatch.chdir(tmp_path)
    assert expand_paths("?.h5ad") == [Path("a.h5ad"), Path("b.h5ad")]
    assert len(expand_paths(["a.h5ad", tmp_path / "a.h5ad", tmp_path / "." / "b.h5ad"])) == 2
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand_paths("~/?.h5ad") == ours
    (tmp_path / "~lock.h5ad").touch()
    assert expand_paths("~lock.h5ad") == [Path("~lock.h5ad")]
    (tmp_path / "~lock.h5ad").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        expand_paths("none.h5ad")
    expected = f"none.h5ad: no such file, or nothing in that place that is {KNOWN}"
    assert str(caught.value) == expected
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"^empty: no such file, or nothing in that place"):
        expand_paths("empty")
    with pytest.raises(ValueError, match="no files were given"):
        expand_paths([])


def test_paths_of_every_format(tmp_path):
    adata = synthetic_cells(5)
    for name, write in FORMATS.items():
        write(adata, tmp_path / name)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "x.h5ad").touch()  # folders are not searched
    geo = tmp_path / "mtx_geo" / "GSM1_matrix.mtx.gz"
    expected = sorted(tmp_path / name for name in FORMATS if name != "mtx_geo")
    assert expand_paths(tmp_path) == expected
    assert expand_paths(tmp_path / "mtx_geo") == [geo]
    assert expand_paths([tmp_path / "mtx", tmp_path / "csr.zarr"]) == [
        tmp_path / "csr.zarr",
        tmp_path / "mtx",
    ]
    found = expand_paths([f"{tmp_path}/*", tmp_path])
    assert found == sorted([*expected, geo, tmp_path / "notes" / "x.h5ad"])
    write_mtx(adata, tmp_path / "mtx_gz")
    twice = f"{tmp_path / 'mtx_gz'} has matrix.mtx and matrix.mtx.gz; give the one that is meant"
    assert message_of(tmp_path / "mtx_gz") == twice


def test_something_else_than_an_anndata():
    with pytest.raises(
        TypeError, match=r"got a str; expected an AnnData \(for files: tokenize_fil"
    ):
        tokenizer()("x.h5ad")


@settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(
    seed=st.integers(0, 2**32 - 1),
    cells=st.integers(1, 12),
    genes=st.integers(1, 9),
    share=st.sampled_from([0.0, 0.1, 0.6, 1.0]),
)
@example(seed=0, cells=1, genes=1, share=1.0)
@example(seed=0, cells=1, genes=1, share=0.0)
@example(seed=0, cells=4, genes=1, share=1.0)
def test_random_matrices(tmp_path_factory, seed, cells, genes, share):
    """Single cells, single genes, empty ones and empty matrices, against the array itself."""
    rng = np.random.default_rng(seed)
    expected = rng.integers(1, 9, (cells, genes)) * (rng.random((cells, genes)) < share)
    adata = anndata.AnnData(sp.csr_matrix(expected.astype(np.float32)))
    adata.obs["n_counts"] = 1.0
    adata.var["ensembl_id"] = adata.var["symbol"] = adata.var_names
    folder = tmp_path_factory.mktemp("random")
    for name in ("csr.h5ad", "csc.h5ad", "dense.h5ad", "csr.zarr", "chunked.loom", "v3.h5", "mtx"):
        path = FORMATS[name](adata, folder / name)
        with opened(path) as source:
            start, stop = sorted(rng.integers(cells + 1, size=2).tolist())
            np.testing.assert_array_equal(source.read(start, stop).toarray(), expected[start:stop])
            np.testing.assert_array_equal(source.read(0, cells).toarray(), expected, err_msg=name)
