"""Deletions against the published package's InSilicoPerturber."""

import numpy as np
import pandas as pd
import pytest

from keras_geneformer.analysis.perturbation.perturbing import perturb
from keras_geneformer.models.backbone import GeneformerBackbone
from keras_geneformer.tokenization.cells.dataset import CellDataset

pytestmark = pytest.mark.tensors

SPECIAL = {
    "tiny-v1": {"<pad>": 0, "<mask>": 1},
    "tiny-v2": {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3},
}


@pytest.mark.parametrize("name", ["tiny-v1", "tiny-v2"])
@pytest.mark.parametrize(("run", "layer"), [("delete_all", -2), ("delete_all.layer0", -1)])
def test_every_deletion_has_the_published_cosine(reference, name, run, layer):
    table = pd.read_parquet(reference / "isp" / f"{name}.cells_six.parquet").set_index("cell")
    cells = CellDataset(table["input_ids"].tolist(), table.drop(columns="input_ids"))
    cells.special_tokens = SPECIAL[name]
    model = GeneformerBackbone.from_preset(reference / "checkpoints" / name)
    pooling = {"tiny-v1": "mean", "tiny-v2": "cls"}[name]
    effects = perturb(model, cells, layer=layer, pooling=pooling)

    expected = pd.read_parquet(reference / "isp" / f"{name}.{run}.parquet")
    # The published package visits the longest cells first.
    order = np.argsort(-np.asarray(cells.lengths), kind="stable")
    expected["cell"] = cells.obs.index.to_numpy()[order[expected["cell_index"]]]
    expected["token"] = [perturbed[0] for perturbed in expected["perturbed"]]
    expected["published"] = [values[0] for values in expected["values"]]
    joined = effects.merge(expected[["cell", "token", "published"]], on=["cell", "token"])
    assert len(joined) == len(effects) == len(expected)
    np.testing.assert_allclose(joined["value"], joined["published"], atol=1e-5)
