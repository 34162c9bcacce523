import pandas as pd
import pytest

from keras_geneformer.analysis.perturbation import effect_parts
from keras_geneformer.analysis.perturbation.effect_files import EffectsWriter, read_effects
from keras_geneformer.analysis.perturbation.merging import (
    effects_to_csv,
    perturb_merge,
    read_shard,
)

CELLS = 7


def write(path, shard=None, layer=-2):
    number, of = shard or (1, 1)
    settings = {"layer": layer, "cells_checksum": "c", "shard": shard}
    with EffectsWriter(path, settings, resume=False) as writer:
        for row in range(CELLS * (number - 1) // of, CELLS * number // of):
            effects = {
                "cell": f"cell,{row}",
                "gene": [f"ENSG{number}" for number in range(row)],
                "token": range(row),
                "kind": "delete",
                "measure": "cell_cosine",
                "state": "original",
                "value": [1 / (number + 3) for number in range(row)],
            }
            writer.add(row, pd.DataFrame(effects))
        return writer.finish()


@pytest.fixture
def shards(tmp_path, monkeypatch):
    monkeypatch.setattr(effect_parts, "ROW_GROUP", 4)
    return [write(tmp_path / f"shard{number}.parquet", [number, 3]) for number in (1, 2, 3)]


def test_merged_shards_are_the_whole_run(tmp_path, shards):
    whole = write(tmp_path / "whole.parquet")
    merged = perturb_merge(shards[::-1], tmp_path / "all.parquet")
    assert merged.read_bytes() == whole.read_bytes()
    again = perturb_merge(shards, merged)
    assert again.read_bytes() == whole.read_bytes()


def test_csv_has_every_digit(tmp_path):
    whole = write(tmp_path / "whole.parquet")
    csv = effects_to_csv(whole, tmp_path / "whole.csv")
    pd.testing.assert_frame_equal(read_effects(csv), read_effects(whole), check_exact=True)
    effects_to_csv(whole, csv)
    csv.write_text("a,b\n1,2\n")
    with pytest.raises(FileExistsError, match=r"whole.csv exists and holds no effects that"):
        effects_to_csv(whole, csv)
    assert csv.read_text() == "a,b\n1,2\n"


def test_refuses(tmp_path, shards):
    output = tmp_path / "all.parquet"
    with pytest.raises(ValueError, match=r"Of 3 shards, 2 is missing; give all files of the run"):
        perturb_merge([shards[0], shards[2]], output)
    with pytest.raises(ValueError, match=r"shard1.* and .*shard1.* are both shard 1 of 3; expect"):
        perturb_merge([shards[0], shards[0]], output)
    other = write(tmp_path / "other.parquet", [2, 3], layer=-1)
    with pytest.raises(
        ValueError,
        match=r"other.parquet is of .*settings: layer.*\. Give the shards of the run that",
    ):
        perturb_merge([shards[0], other], output)
    other = write(tmp_path / "other.parquet", [2, 4])
    with pytest.raises(ValueError, match=r"other.parquet is one of 4 shards, and .*shard1.*of 3;"):
        perturb_merge([shards[0], other], output)
    whole = write(tmp_path / "whole.parquet")
    with pytest.raises(ValueError, match=r"whole.parquet is no shard of a run; expected files"):
        perturb_merge([whole], output)
    with pytest.raises(FileNotFoundError, match=r"no effects at .*none.parquet"):
        perturb_merge(tmp_path / "none.parquet", output)
    with pytest.raises(ValueError, match="No files to merge; expected those of all shards"):
        perturb_merge([], output)
    with pytest.raises(ValueError, match=r"Effects are merged to parquet, and '.*all.csv' ends"):
        perturb_merge(shards, tmp_path / "all.csv")
    assert not output.exists()
    output.write_text("somebody's")
    with pytest.raises(FileExistsError, match=r"all.parquet exists and holds no effects that pert"):
        perturb_merge(shards, output)


def test_no_shard_and_no_other_run_is_replaced(tmp_path, shards):
    kept = shards[0].read_bytes()
    with pytest.raises(
        ValueError, match=r"shard1.parquet is one of the shards to merge; choose an"
    ):
        perturb_merge(shards, shards[0])
    assert shards[0].read_bytes() == kept
    other = write(tmp_path / "other.parquet", layer=-1)
    kept = other.read_bytes()
    with pytest.raises(ValueError, match=r"other.parquet is of a run with other settings: layer"):
        perturb_merge(shards, other)
    assert other.read_bytes() == kept


def test_refuses_shards():
    assert read_shard("2/8") == (2, 8)
    for text in ("3", "0/2", "3/2", "a/b", "1/2/3"):
        with pytest.raises(ValueError, match=rf"'{text}' is no shard; expected i/n, as 2/8: the"):
            read_shard(text)
