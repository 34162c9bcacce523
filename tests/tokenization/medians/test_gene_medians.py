import numpy as np
import pytest

from keras_geneformer import GeneVocabulary
from keras_geneformer.testing import synthetic_cells
from keras_geneformer.tokenization.medians.gene_medians import GeneMedians
from keras_geneformer.tokenization.medians.median_fitting import fit_medians
from keras_geneformer.tokenization.medians.nonzero_medians import RANK_ERROR


def test_parts_saved_and_merged_give_the_vocabulary_of_the_whole(tmp_path):
    adata = synthetic_cells(200)
    adata.var["gene_type"] = np.where(np.arange(120) % 2, "protein_coding", "lncRNA")
    parts = [adata[:70].copy(), adata[70:, ::-1].copy()]
    for number, part in enumerate(parts):
        fit_medians(part, biotype_key="gene_type").save(tmp_path / f"part{number}")
    merged = GeneMedians.load(tmp_path / "part0")
    merged.merge(GeneMedians.load(tmp_path / "part1"))
    assert repr(merged) == "GeneMedians(120 genes, 200 cells)"
    fitted = GeneVocabulary.fit(merged)
    whole = GeneVocabulary.fit(adata)
    assert fitted.checksum == whole.checksum
    assert fitted.aliases == whole.aliases
    assert len(GeneVocabulary.fit(merged, biotypes=["lncRNA"])) == 60


def test_sketches_survive_a_file_bit_for_bit(tmp_path):
    medians = fit_medians(synthetic_cells(300), exact_values=2_000)
    assert len(medians.values.sketches) > 10
    medians.save(tmp_path / "deep" / "part")
    loaded = GeneMedians.load(tmp_path / "deep" / "part")
    assert loaded.values.medians().tobytes() == medians.values.medians().tobytes()
    other = fit_medians(synthetic_cells(100, seed=1))
    for each in (medians, loaded):
        each.merge(other)
    assert loaded.values.medians().tobytes() == medians.values.medians().tobytes()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["part"]


def test_files_that_are_none(tmp_path):
    medians = fit_medians(synthetic_cells(20))
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(FileExistsError, match=r"notes exists and holds no gene medians; nothing"):
        medians.save(tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "mine"
    with pytest.raises(ValueError, match=r"notes holds no gene medians; expected a file that `G"):
        GeneMedians.load(tmp_path / "notes")
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such file$"):
        GeneMedians.load(tmp_path / "nowhere")


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "part"
    fit_medians(synthetic_cells(60)).save(path)
    content = bytearray(path.read_bytes())
    middle = content.index(b"held_values.npy") + 3_000
    content[middle] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"part is damaged: .*Fit that part again$"):
        GeneMedians.load(path)


def rank_error(values, median):
    return max((values < median).mean(), (values > median).mean(), 0.5) - 0.5


def test_real_cells_exact_by_default_and_within_the_bound_when_sketched(counts, tmp_path):
    import anndata

    path = counts / "pbmc3k.h5ad"
    adata = anndata.read_h5ad(path)
    columns = adata.X.tocsc()
    totals = adata.obs["n_counts"].to_numpy(np.float64)
    exact = fit_medians(path)
    assert not exact.values.sketches
    whole = fit_medians(path, exact_values=600_000)
    merged = GeneMedians(600_000)
    for rows in np.array_split(np.arange(len(adata)), 3):
        merged.merge(fit_medians(adata[rows].copy(), exact_values=600_000))
    number = {gene: i for i, gene in enumerate(adata.var["ensembl_id"].astype(str))}
    ids = adata.var["ensembl_id"].astype(str)
    once = ~ids.duplicated(keep=False).to_numpy()
    for medians in (exact, whole, merged):
        fitted = medians.values.medians()
        sketched = sorted(medians.values.sketches)
        assert medians is exact or len(sketched) > 500
        for i in [*sketched, *range(0, len(fitted), 50)]:
            column = columns[:, number[medians.genes[i]]]
            if not once[number[medians.genes[i]]] or not column.nnz:
                continue
            values = column.data.astype(np.float64) / totals[column.indices] * 10_000
            if i in medians.values.sketches:
                assert rank_error(values, fitted[i]) <= RANK_ERROR
            else:
                assert fitted[i] == np.median(values)
