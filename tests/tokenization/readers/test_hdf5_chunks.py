import h5py
import numpy as np
import pytest

from keras_geneformer.testing import synthetic_cells
from keras_geneformer.tokenization.readers.hdf5_chunks import inflated_spans
from keras_geneformer.tokenization.readers.sources import opened


def stored(path, values, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, **options)
    return h5py.File(path, "r")["x"]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", [">i4", "<f4", "<f8", "u1", "<i8"])
@pytest.mark.parametrize("chunk", [1, 7, 100, 1000])
def test_like_hdf5(tmp_path, kind, chunk, shuffle):
    values = np.random.default_rng(0).integers(200, size=1000).astype(kind)
    options = {"compression": "gzip", "shuffle": shuffle, "chunks": (chunk,)}
    array = stored(tmp_path / "x.h5", values, **options)
    read = inflated_spans(array)
    for start, stop in [(0, 10), (10, 250), (250, 250), (299, 301), (3, 5), (0, 1000), (990, 1000)]:
        found = read(start, stop)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, values[start:stop])


def test_chunks_that_were_never_written_or_are_not_compressed(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        array = file.create_dataset("x", (30,), "i4", chunks=(10,), compression="gzip", fillvalue=7)
        array[10:20] = 1
        array.id.write_direct_chunk((20,), np.full(10, 5, "i4").tobytes(), filter_mask=1)
        expected = [7] * 10 + [1] * 10 + [5] * 10
        np.testing.assert_array_equal(inflated_spans(array)(0, 30), expected)


def test_arrays_it_is_not_for(tmp_path):
    values = np.arange(100)
    for number, options in enumerate(
        [
            {},
            {"chunks": (10,)},
            {"compression": "lzf"},
            {"compression": "gzip", "fletcher32": True},
        ]
    ):
        assert inflated_spans(stored(tmp_path / f"{number}.h5", values, **options)) is None
    assert inflated_spans(values) is None


def test_the_matrix_and_its_damage(tmp_path):
    adata = synthetic_cells(400)
    path = tmp_path / "x.h5ad"
    adata.write_h5ad(path, compression="gzip")
    with opened(path) as source:
        found = np.concatenate([rows.toarray() for _, rows in source.chunks(64)])
    np.testing.assert_array_equal(found, adata.X.toarray())
    with h5py.File(path) as file:
        chunk = file["X/data"].id.get_chunk_info(1)
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * chunk.size)
    with opened(path) as source, pytest.raises(ValueError, match=r"are unreadable \(") as caught:
        source.read(0, 400)
    message = str(caught.value)
    assert message.startswith(f"{path} is damaged: cells 0 to 400 are unreadable (")
    assert message.endswith("). Copy or download it again")
