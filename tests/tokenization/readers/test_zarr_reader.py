import json
import shutil

import numpy as np
import pytest
import zarr
from count_files import write_zarr

from keras_geneformer.testing import synthetic_cells
from keras_geneformer.tokenization.readers.sources import opened


def message_of(path, layer=None):
    with pytest.raises(ValueError) as caught, opened(path, layer) as source:  # noqa: PT011
        source.read(0, len(source))
    return str(caught.value)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    adata = synthetic_cells(60)
    folder = tmp_path_factory.mktemp("stores")
    return {number: write_zarr(adata, folder / f"{number}.zarr", number) for number in (2, 3)}


@pytest.fixture(params=[2, 3])
def store(request, stores, tmp_path):
    path = tmp_path / "x.zarr"
    shutil.copytree(stores[request.param], path)
    return path


def chunk_files(store, array):
    names = (".zarray", ".zattrs", "zarr.json")
    files = [path for path in (store / array).rglob("*") if path.is_file()]
    return sorted(path for path in files if path.name not in names)


def rewritten(store, array, chunk, **options):
    """The array again, in chunks of the given size."""
    group = zarr.open_group(store, mode="r+", use_consolidated=False)
    values = group[array][:]
    del group[array]
    group.create_array(array, data=values, chunks=(chunk,), **options)
    for name in (".zmetadata",):
        (store / name).unlink(missing_ok=True)
    description = store / "zarr.json"
    if description.exists():
        root = json.loads(description.read_text())
        root.pop("consolidated_metadata", None)
        description.write_text(json.dumps(root))


@pytest.mark.parametrize("array", ["data", "indices", "indptr"])
def test_a_lost_chunk_of_one(store, array):
    (chunk,) = chunk_files(store, f"X/{array}")
    chunk.unlink()
    if array == "indptr":
        what = "/X/indptr does not rise from 0 to "
    else:
        what = f"1 of 1 chunks of /X/{array} are missing"
    assert message_of(store).startswith(f"{store} is damaged: {what}")


def test_a_lost_first_chunk_of_bounds(store):
    rewritten(store, "X/indptr", 40)
    chunk_files(store, "X/indptr")[0].unlink()
    what = "1 of 2 chunks of /X/indptr are missing"
    assert message_of(store) == f"{store} is damaged: {what}. Copy or download it again"


def test_lost_chunks(store):
    with opened(store) as source:
        expected = source.read(0, 60).toarray()
    rewritten(store, "X/indices", 500)
    with opened(store) as source:
        np.testing.assert_array_equal(source.read(0, 60).toarray(), expected)
    files = chunk_files(store, "X/indices")
    files[1].unlink()
    what = f"1 of {len(files)} chunks of /X/indices are missing"
    assert message_of(store) == f"{store} is damaged: {what}. Copy or download it again"


def test_damaged_chunks(store):
    for array, what in [("X/data", "cells 0 to 60 are"), ("X/indptr", "/X/indptr is")]:
        (chunk,) = chunk_files(store, array)
        whole = chunk.read_bytes()
        chunk.write_bytes(b"\xff" * 40)
        message = message_of(store)
        assert message.startswith(f"{store} is damaged: {what} unreadable (")
        assert message.endswith("). Copy or download it again")
        chunk.write_bytes(whole)
    shutil.rmtree(store / "X" / "indptr")
    assert message_of(store).startswith(f"{store} is damaged: ")


def test_stores_that_are_no_anndata(tmp_path):
    path = tmp_path / "x.zarr"
    zarr.open_group(path, mode="w").create_group("images")
    assert message_of(path) == (
        f"{path} is a zarr store but no AnnData: it has images; expected X, obs and var"
    )
    array = tmp_path / "y.zarr"
    zarr.create_array(array, data=np.zeros(3))
    assert "is a zarr store but no AnnData: it has an array; expected" in message_of(array)
    (path / "zarr.json").write_text("{")
    assert message_of(path).startswith(f"{path} is damaged: it is unreadable as a zarr store (")
    zipped = tmp_path / "z.zarr.zip"
    zipped.write_bytes(b"PK no zip")
    assert message_of(zipped).startswith(f"{zipped} is damaged: it is unreadable as a zarr store")


def test_missing_layers(store):
    assert message_of(store, "raw") == f"{store} has no layer 'raw'; it has no layers"
    assert message_of(store, "counts") == f"{store} has no layer 'counts'; it has no layers"


def test_shards(stores, tmp_path):
    store = tmp_path / "x.zarr"
    shutil.copytree(stores[3], store)
    with opened(store) as source:
        expected = source.read(0, 60).toarray()
    for array in ("data", "indices"):
        rewritten(store, f"X/{array}", 100, shards=(1000,))
    with opened(store) as source:
        np.testing.assert_array_equal(source.read(0, 60).toarray(), expected)
        np.testing.assert_array_equal(source.read(7, 9).toarray(), expected[7:9])
    chunk_files(store, "X/indices")[1].unlink()
    assert "chunks of /X/indices are missing. Copy or download it again" in message_of(store)
