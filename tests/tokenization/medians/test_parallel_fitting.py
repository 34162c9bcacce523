"""Files fitted by several processes, on a cluster, or in parts, give the same vocabulary."""

from concurrent.futures import Executor, ThreadPoolExecutor

import anndata
import numpy as np
import pytest

from keras_geneformer import GeneVocabulary
from keras_geneformer.testing import synthetic_cells
from keras_geneformer.tokenization.medians.median_fitting import fit_medians


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five files of different sizes."""
    place = tmp_path_factory.mktemp("corpus")
    for number, cells in enumerate((40, 150, 15, 90, 60)):
        synthetic_cells(cells, seed=number).write_h5ad(place / f"{number}.h5ad")
    return place


class Recording(Executor):
    """Runs on threads, and knows how many calls were under way at most."""

    def __init__(self):
        self.threads = ThreadPoolExecutor(2)
        self.waiting = []
        self.most = 0

    def submit(self, fn, /, *args, **kwargs):
        self.waiting = [future for future in self.waiting if not future.done()]
        self.waiting.append(self.threads.submit(fn, *args, **kwargs))
        self.most = max(self.most, len(self.waiting))
        return self.waiting[-1]


@pytest.mark.parametrize("exact_values", [3_000_000, 700])
def test_any_number_of_workers_gives_the_same_bits(folder, exact_values):
    one = fit_medians(folder, exact_values=exact_values)
    assert bool(one.values.sketches) == (exact_values == 700)
    for workers in (2, 3):
        other = fit_medians(folder, exact_values=exact_values, workers=workers)
        assert other.genes == one.genes
        assert other.cells == 355
        assert other.values.medians().tobytes() == one.values.medians().tobytes()


def test_hundreds_of_files_are_read_in_groups(folder, tmp_path):
    for number in range(130):
        (tmp_path / f"{number:03}.h5ad").hardlink_to(folder / "2.h5ad")
    one = fit_medians(tmp_path, exact_values=2_000, workers=2)
    other = fit_medians([anndata.read_h5ad(folder / "2.h5ad")] * 130, exact_values=2_000)
    assert one.cells == other.cells == 130 * 15
    assert len(one.values.sketches) > 50
    assert other.values.medians().tobytes() == one.values.medians().tobytes()
    single = fit_medians(folder / "2.h5ad")
    np.testing.assert_array_equal(one.values.detected, 130 * single.values.detected)


def test_exact_medians_do_not_depend_on_how_cells_are_put_into_files(folder):
    files = sorted(folder.iterdir())
    adata = anndata.concat([anndata.read_h5ad(path) for path in files], index_unique="-")
    adata.var["ensembl_id"] = adata.var_names
    assert GeneVocabulary.fit(folder).checksum == GeneVocabulary.fit(adata).checksum


def test_an_executor_runs_the_files_a_few_at_a_time(folder):
    executor = Recording()
    fitted = GeneVocabulary.fit(folder, executor=executor, workers=1)
    assert fitted.checksum == GeneVocabulary.fit(folder).checksum
    assert executor.most == 2
    executor.threads.shutdown()


def test_progress_counts_cells(folder, capsys):
    fit_medians(folder, progress=True)
    bar = capsys.readouterr().err
    assert "355cell" in bar
    assert "cell/s, 5 of 5 sources" in bar


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_cannot_be_read_is_named(folder, tmp_path, workers):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[: 4000 if path.stem == "3" else None])
    with pytest.raises(ValueError, match=r"3\.h5ad"):
        fit_medians(tmp_path, workers=workers)
