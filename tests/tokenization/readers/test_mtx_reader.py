import gzip
import logging

import numpy as np
import pytest
import scipy.sparse as sp
from count_files import write_mtx

from keras_geneformer.testing import synthetic_cells, tiny_vocabulary
from keras_geneformer.tokenization.gene_identity import map_genes
from keras_geneformer.tokenization.readers.sources import opened

EXPECTED = "'%%MatrixMarket matrix coordinate integer general'"


def all_rows(path, cells=7):
    with opened(path) as source:
        return np.concatenate([rows.toarray() for _, rows in source.chunks(cells)])


def message_of(path, error=ValueError, layer=None):
    with pytest.raises(error) as caught, opened(path, layer) as source:
        source.read(0, len(source))
    return str(caught.value)


def edited(folder, change, name="matrix.mtx"):
    """One of the files of freshly written cells, after a change of its lines."""
    write_mtx(synthetic_cells(10), folder)
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))
    return path


@pytest.mark.parametrize("order", [np.random.default_rng(3).permutation, np.arange])
@pytest.mark.parametrize("zipped", [False, True])
def test_any_order_of_entries(tmp_path, order, zipped):
    adata = synthetic_cells(30)
    folder = write_mtx(adata, tmp_path / "x", zipped=zipped, order=order)
    np.testing.assert_array_equal(all_rows(folder), adata.X.toarray())
    with opened(folder) as source:
        assert source.sequential
        assert source.name == str(folder)
        assert source.obs.index.tolist() == adata.obs_names.tolist()
        assert map_genes(source.var, tiny_vocabulary()).known == 120
        assert source.var["symbol"].tolist() == adata.var["symbol"].tolist()


def test_cells_by_genes(tmp_path):
    adata = synthetic_cells(10)

    def turned(lines):
        sizes = next(number for number, line in enumerate(lines) if line[0] != "%")
        parts = [line.split() for line in lines[sizes:]]
        return lines[:sizes] + [f"{column} {row} {value}" for row, column, value in parts]

    edited(tmp_path / "x", turned)
    np.testing.assert_array_equal(all_rows(tmp_path / "x"), adata.X.toarray())


@pytest.mark.parametrize("spacing", ["\t", "   "])
def test_other_spacing_reals_and_comments(tmp_path, spacing):
    def changed(lines):
        lines = [line.replace(" ", spacing) if line[0] != "%" else line for line in lines]
        return ["%%MatrixMarket matrix coordinate real general", "% a remark", "", *lines[2:]]

    edited(tmp_path / "x", changed)
    np.testing.assert_array_equal(all_rows(tmp_path / "x"), synthetic_cells(10).X.toarray())


def test_repeated_entries_are_summed_and_none_is_fine(tmp_path):
    def doubled(lines):
        header = [line for line in lines if line[0] == "%"]
        return [*header, "120 10 3", "1 1 5", "1 1 2", "120 10 1"]

    edited(tmp_path / "x", doubled)
    assert sp.csr_matrix(all_rows(tmp_path / "x")).data.tolist() == [7, 1]
    edited(tmp_path / "x", lambda lines: [lines[0], "120 10 0"])
    assert all_rows(tmp_path / "x").sum() == 0


def test_other_features_are_left_out(tmp_path, caplog):
    def changed(lines):
        return [*lines[:-2], *(line.replace("Gene Exp", "Antibody: Exp") for line in lines[-2:])]

    features = edited(tmp_path / "x", changed, "features.tsv")
    with caplog.at_level(logging.INFO):
        found = all_rows(tmp_path / "x")
    np.testing.assert_array_equal(found, synthetic_cells(10).X.toarray()[:, :-2])
    assert (
        f"{features}: features that are no genes are left out: 2 of type 'Antibody: Expression'"
    ) in caplog.messages


def test_symbols_alone(tmp_path):
    edited(tmp_path / "x", lambda lines: [line.split("\t")[1] for line in lines], "features.tsv")
    with opened(tmp_path / "x") as source:
        genes = map_genes(source.var, tiny_vocabulary())
        assert (genes.key, genes.known) == ("var_names", 120)


def test_headers(tmp_path):
    folder = tmp_path / "x"
    path = edited(folder, lambda lines: lines[2:])
    start = path.read_bytes().splitlines(keepends=True)[0][:40]
    assert message_of(folder) == f"{path} starts with {start!r}; expected {EXPECTED}"
    for kind in (
        "%%MatrixMarket matrix array integer general",
        "%%MatrixMarket matrix coordinate pattern general",
        "%%MatrixMarket matrix coordinate integer symmetric",
        "%%MatrixMarket",
    ):
        path = edited(folder, lambda lines, kind=kind: [kind, *lines[1:]])
        assert message_of(folder) == (
            f"{path} is a Matrix Market file of another kind: {kind.encode()!r}; expected "
            f"{EXPECTED}, or real for integer"
        )
    path = edited(folder, lambda lines: [lines[0], "120 10"])
    assert message_of(folder) == (
        f"{path}: line 2 is {b'120 10' + bytes([10])!r}; expected the numbers of rows, columns and "
        "entries"
    )


def test_entries(tmp_path):
    folder = tmp_path / "x"
    stored = synthetic_cells(10).X.nnz
    again = "Copy or download it again"
    path = edited(folder, lambda lines: lines[:-1])
    assert message_of(folder) == (
        f"{path} is truncated or damaged: it has {stored - 1} entries, and its header says "
        f"{stored}. Fetch it again"
    )
    for line, row, column in (("121 1 1", 121, 1), ("0 1 1", 0, 1), ("1 11 1", 1, 11)):
        path = edited(folder, lambda lines, line=line: [*lines[:-1], line])
        assert message_of(folder) == (
            f"{path} is damaged: an entry is in row {row} and column {column}, expected 1 to 120 "
            f"and 1 to 10. {again}"
        )
    for line in ("1 1", "1 1 1 1", "1 1 x", "1 1 1.5"):
        path = edited(folder, lambda lines, line=line: [*lines[:-1], line])
        message = message_of(folder)
        start = f"{path} is damaged: after 0 entries comes no row, column and value ("
        assert message.startswith(start), line
        assert message.endswith(f"). {again}")


def test_truncated_gzip(tmp_path):
    folder = write_mtx(synthetic_cells(200), tmp_path / "x", zipped=True)
    for name in ("matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz"):
        path = folder / name
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        message = message_of(folder)
        assert message == (
            f"{path} is truncated or damaged: Compressed file ended before the end-of-stream "
            "marker was reached. Fetch it again"
        )
        path.write_bytes(whole[:-9] + b"x" + whole[-8:])
        assert message_of(folder).startswith(f"{path} is truncated or damaged: ")
        path.write_bytes(b"")
        assert message_of(folder).startswith(f"{path} is empty (0 bytes); expected ")
        path.write_bytes(whole)


def test_gzip_without_its_suffix_and_the_reverse(tmp_path):
    adata = synthetic_cells(10)
    folder = write_mtx(adata, tmp_path / "x", zipped=True)
    (folder / "matrix.mtx.gz").rename(folder / "matrix.mtx")
    plain = gzip.decompress((folder / "barcodes.tsv.gz").read_bytes())
    (folder / "barcodes.tsv.gz").write_bytes(plain)
    np.testing.assert_array_equal(all_rows(folder), adata.X.toarray())


def test_files_that_do_not_belong_together(tmp_path):
    folder = tmp_path / "x"
    path = edited(folder, lambda lines: lines[:-1], "barcodes.tsv").with_name("matrix.mtx")
    assert message_of(folder) == (
        f"{path} is 120 by 10, but features.tsv has 120 lines and barcodes.tsv 9; expected as many "
        "features as rows and as many barcodes as columns. Do they belong together?"
    )
    edited(folder, lambda lines: [*lines, lines[0]], "features.tsv")
    assert "is 120 by 10, but features.tsv has 121 lines and barcodes.tsv 10;" in message_of(folder)
    (folder / "barcodes.tsv").unlink()
    assert message_of(folder, FileNotFoundError) == (
        f"{path} has none of these beside it: barcodes.tsv, barcodes.tsv.gz"
    )
    geo = write_mtx(synthetic_cells(3), tmp_path / "geo", prefix="GSM1_")
    (tmp_path / "geo" / "GSM1_features.tsv").unlink()
    assert message_of(geo, FileNotFoundError) == (
        f"{geo} has none of these beside it: GSM1_features.tsv, GSM1_features.tsv.gz, "
        "GSM1_genes.tsv, GSM1_genes.tsv.gz"
    )


def test_no_such_file(tmp_path):
    message = message_of(tmp_path / "matrix.mtx", FileNotFoundError)
    assert message == f"[Errno 2] No such file or directory: '{tmp_path / 'matrix.mtx'}'"


def test_no_layers(tmp_path):
    folder = write_mtx(synthetic_cells(3), tmp_path / "x")
    assert message_of(folder, layer="raw") == f"{folder} has no layer 'raw'; it has no layers"
