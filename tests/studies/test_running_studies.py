"""Studies from cells to report, in small.

On one backend: nothing here is of a backend's own.
"""

import json

import numpy as np
import pandas as pd
import pytest

import keras_geneformer as kg
from keras_geneformer.cli import main
from keras_geneformer.studies.perturbed_exposures import (
    frequent_genes,
    perturbed_exposures,
    without_gene,
)
from keras_geneformer.study_report import mechanics_only, write_study_report
from keras_geneformer.testing import (
    synthetic_cells,
    synthetic_dataset,
    tiny_backbone,
    tiny_vocabulary,
)


def test_genes_leave_the_cells_that_have_them():
    cells, vocabulary = synthetic_dataset(8), tiny_vocabulary()
    token = int(cells[0][3])
    had = [i for i in range(8) if token in cells[i]]
    left = without_gene(cells, token)
    assert left.obs.index.tolist() == cells.obs.index[had].tolist()
    assert left.vocabulary_checksum == cells.vocabulary_checksum
    for row, ids in zip(had, left):
        assert ids.tolist() == [one for one in cells[row].tolist() if one != token]
    counts = pd.Series(np.concatenate(list(cells))).value_counts()
    first = frequent_genes(cells, vocabulary, 3)
    assert counts[vocabulary.tokens_of(first)].tolist() == counts.head(3).tolist()


def test_changes_are_of_the_same_cells_before_and_after():
    cells, vocabulary = synthetic_dataset(6), tiny_vocabulary()
    classifier = kg.GeneformerCellClassifier(tiny_backbone(num_layers=1), classes=["no", "yes"])
    gene = str(vocabulary.genes_of(cells[2][:1])[0])
    table = perturbed_exposures(classifier, cells, [gene, "GENE_X"], vocabulary)
    left = without_gene(cells, int(cells[2][0]))
    found = kg.predict(classifier, kg.CellDataset.concat([cells, left]))["prob_yes"]
    before = found.iloc[: len(cells)].loc[left.obs.index]
    change = found.iloc[len(cells) :] - before
    row = table[table["exposure"] == "yes"].iloc[0]
    assert (row["gene"], row["cells"]) == (gene, len(left))
    np.testing.assert_allclose(row["change"], change.mean(), atol=1e-6)
    np.testing.assert_allclose(row["error"], change.sem(), atol=1e-6)
    np.testing.assert_allclose(row["after"] - row["before"], row["change"], atol=1e-9)
    with pytest.raises(ValueError, match="none of the 1 genes to delete is in any of the 6 cells"):
        perturbed_exposures(classifier, cells, ["GENE_X"], vocabulary)


def test_perturb_then_predict_as_one_study(tmp_path):
    adata = synthetic_cells(60)
    adata.obs["condition"] = np.where(adata.obs["cell_type"] == "B cell", "ctrl", "stim")
    result = kg.run_study(
        "perturb-then-predict",
        adata,
        output=tmp_path / "study",
        model=tiny_backbone(num_layers=1),
        vocabulary=tiny_vocabulary(),
        genes=["GENE1", "GENE2", "GENE_X"],
        control="ctrl",
        group_key="donor",
        embed=False,
        max_length=32,
        epochs=1,
        batch_size=20,
        progress=False,
    )
    assert set(result.figures) >= {"accuracy", "macro_f1"}
    donors = adata.obs["donor"].groupby(result.run.parts).agg(set)
    assert not donors["train"] & (donors["test"] | donors["validation"])
    assert not donors["validation"] & donors["test"]
    control = result.run.parts[adata.obs["condition"] == "ctrl"]
    assert f"Only {(control != 'train').sum()} control cells were held" in " ".join(result.notes)
    assert "20 of these have 32 tokens, the most a cell has here, and may have been cut" in (
        " ".join(result.notes)
    )
    assert "or unknown, and were left out: GENE_X." in result.notes[-1]
    page = write_study_report(result, tmp_path / "study").read_text()
    assert "shows the mechanics only: it has 60 cells, few of them held out" in page
    assert "<h2>What came out</h2>" in page
    assert ">published<" not in page
    assert "change of the probability" in page or "changes of the probability" in page
    written = {path.name for path in (tmp_path / "study").iterdir()}
    assert {"report.html", "study.json", "changes.csv", "changes.png", "preset"} <= written
    changes = pd.read_csv(tmp_path / "study" / "changes.csv")
    assert set(changes["exposure"]) == {"ctrl", "stim"}
    about = json.loads((tmp_path / "study" / "study.json").read_text())
    assert about["options"]["epochs"] == 1
    again = kg.predict(tmp_path / "study" / "preset", synthetic_dataset(3))
    assert len(again) == 3


@pytest.mark.parametrize(
    ("study", "options", "message"),
    [
        ("tf-range", {}, r"tf-range needs genes, a list of genes with classes"),
        ("perturb-then-predict", {}, r"perturb-then-predict needs control, the class of the"),
        ("exposure", {"genes": "x.csv"}, r"exposure labels cells, and has no use for genes"),
        ("exposure", {"folds": 3}, r"exposure has no folds; the studies of genes have"),
        ("exposure", {"data": "gone.h5ad"}, r"no data at gone\.h5ad; expected a \.h5ad file"),
        ("exposure", {"data": __file__}, r"is neither a \.h5ad file nor a \.dataset directory"),
        ("exposure", {"data": synthetic_cells}, r"The model comes without a vocabulary"),
    ],
)
def test_what_a_study_lacks_is_said(study, options, message, tmp_path):
    options = {"data": synthetic_dataset} | options
    if callable(options["data"]):
        options["data"] = options["data"](6)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        kg.run_study(study, output=tmp_path / "o", model=tiny_backbone(num_layers=1), **options)


def test_an_unknown_control_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(ValueError, match=r"control is 'DMSO'; expected one of the classes of obs"):
        kg.run_study(
            "perturb-then-predict",
            synthetic_dataset(6),
            output=tmp_path / "o",
            model=tiny_backbone(num_layers=1),
            label_key="cell_type",
            control="DMSO",
        )
    assert not (tmp_path / "o").exists()


def test_the_published_study_is_no_mechanics(tmp_path):
    from keras_geneformer.studies import named_study
    from keras_geneformer.studies.study_result import StudyResult

    study = named_study("pancreas-enhanced")
    assert mechanics_only(StudyResult(study, None, {}, 16382, "geneformer_v1_10m", [])) == ""
    assert mechanics_only(StudyResult(study, None, {}, 400, "geneformer_mini (3 blocks)", [])) == (
        "it has 400 cells, the published one 16,382, and geneformer_mini is a small model "
        "pretrained on few cells"
    )
    study = named_study("tf-range")
    assert mechanics_only(StudyResult(study, None, {}, 400, "a", [])) == "it has 400 cells"


def test_the_command_leaves_what_is_somebody_elses(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("keep")
    command = ["study", "exposure", "--data", "x.h5ad", "--output", str(tmp_path)]
    assert main(command) == 2
    assert "exists and holds something else than a study" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "keep"
    (tmp_path / "notes.txt").rename(tmp_path / "study.json")
    assert main(command) == 2
    assert "no data at x.h5ad" in capsys.readouterr().err
