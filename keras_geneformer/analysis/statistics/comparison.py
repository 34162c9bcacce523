"""How genes are compared with their null: the settings that every test shares."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.statistics.effect_values import GeneValues, gene_values
from keras_geneformer.analysis.statistics.matched_genes import (
    beside_ranks,
    donors_of,
    matched_groups,
    ranks_in_cells,
    without_outliers,
)
from keras_geneformer.analysis.statistics.peer_tests import TESTS, peer_table
from keras_geneformer.analysis.statistics.precision_noise import noise_floors
from keras_geneformer.analysis.statistics.rank_sums import false_discovery_rate

NULLS = ("matched", "all", "zero")


@dataclass(frozen=True)
class Comparison:
    """What each gene's effects are compared with, and by which test.

    Attributes:
        null: "matched" genes, "all" other genes, or "zero".
        test: one of `TESTS`.
        cells: the `CellDataset` that was perturbed, or None.
        obs: obs of the cells, or None.
        donor_key: the column of obs with donors, or None.
        null_genes: genes that a gene is compared with at least.
        minimum_detections: cells of a gene that is tested, at least.
        noise: the effects of the same genes, measured otherwise (`read_effects_table`), or None.
        level: of intervals.
        chosen: names of the genes that are reported, or None: all.
    """

    null: str
    test: str
    cells: Any
    obs: pd.DataFrame | None
    donor_key: str | None
    null_genes: int
    minimum_detections: int
    noise: pd.DataFrame | None
    level: float
    chosen: frozenset[str] | None

    @classmethod
    def of(
        cls,
        null: Any,
        test: str | None,
        cells: Any,
        obs: Any,
        donor_key: str | None,
        **settings: Any,
    ) -> "Comparison":
        """Checks the settings against one another, and fills in what follows from others."""
        if null is not None and not (isinstance(null, str) and null in NULLS):
            raise ValueError(
                f"Received null={null!r}; expected one of {', '.join(NULLS)} (a table of effects "
                "is a null for method='vs_null')."
            )
        if test is None:
            test = "rank-sum" if donor_key is None else "donor-means"
        if test not in TESTS:
            raise ValueError(f"Received test={test!r}; the tests there are: {', '.join(TESTS)}.")
        if obs is None and cells is not None:
            obs = cells.obs
        if (test == "rank-sum") != (donor_key is None):
            raise ValueError(
                f"Received test={test!r} and donor_key={donor_key!r}; expected a column of obs "
                "with donor-means, donor-ranks and mixed-model, and none with rank-sum."
            )
        if donor_key is not None and obs is None:
            raise ValueError(
                f"Received donor_key={donor_key!r} without obs; expected cells= (the CellDataset "
                "that was perturbed) or obs= (its obs)."
            )
        if settings["minimum_detections"] < 1:
            raise ValueError(
                f"minimum_detections is {settings['minimum_detections']}; expected 1 cell or more."
            )
        if not 0 < settings["level"] < 1:
            raise ValueError(f"level is {settings['level']}; expected a share between 0 and 1.")
        return cls(null or "matched", test, cells, obs, donor_key, **settings)

    def table(self, values: GeneValues, state: str) -> pd.DataFrame:
        """`peer_table` of genes, with their ranks and the floor of the noise.

        A single gene has no peers, and is compared with zero.
        """
        ranks = ranks_in_cells(values, self.cells)
        donors = self.donors(values)
        groups, peer, compared = None, None, values
        if self.null != "zero" and len(values) > 1:
            groups = np.zeros(len(values), dtype=np.int64)
            peer = np.ones(len(values), dtype=bool)
        if self.null == "matched" and groups is not None and peer is not None:
            mean_ranks = values.mean_of(ranks)
            groups = matched_groups(mean_ranks, values.detections, self.null_genes)
            first = values.with_values(beside_ranks(values, ranks, groups, peer))
            peer = without_outliers(first.means, groups)
            compared = values.with_values(beside_ranks(values, ranks, groups, peer))
        table = peer_table(compared, groups, peer, donors=donors, test=self.test, level=self.level)
        table["null_mean"] += values.means - compared.means
        table["mean_rank"] = values.mean_of(ranks)
        if self.noise is not None:
            rows = self.noise[self.noise["state"] == state]
            floor = noise_floors(values, gene_values(rows) if len(rows) else None)
            table["noise_floor"] = floor
            table["below_noise_floor"] = (table["effect"].abs() < floor).to_numpy()
        return table

    def donors(self, values: GeneValues) -> tuple[np.ndarray, int] | None:
        """The donor of each cell, where donors are told apart."""
        if self.donor_key is None:
            return None
        return donors_of(values.cells, self.obs, self.donor_key)

    def fdr(self, p: Any, values: GeneValues) -> np.ndarray:
        """The false discovery rate, over genes with enough detections; NaN for the others."""
        tested = values.detections >= self.minimum_detections
        if self.chosen is not None:
            tested = tested & np.isin(values.genes, list(self.chosen))
        return false_discovery_rate(np.asarray(p), tested)
