"""What the demonstration may replace."""

import pytest

from keras_geneformer.demo import run_demo


def test_somebody_elses_report_is_not_replaced(tmp_path):
    (tmp_path / "report.html").write_text("a quality report")
    (tmp_path / "reads.fastq").write_text("@read")
    with pytest.raises(FileExistsError, match="holds something else"):
        run_demo(tmp_path, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reads.fastq", "report.html"]
