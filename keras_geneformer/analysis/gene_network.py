"""A network of genes: its links, its modules, and its form as AnnData."""

import importlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse

if TYPE_CHECKING:
    import anndata

NO_MODULE = "none"
"""Module of genes that are linked to no other, or to few."""


@dataclass(frozen=True)
class GeneNetwork:
    """Genes and the links between them.

    Attributes:
        genes: indexed by `gene`; columns `symbol` (the gene where it is not known) and `cells`, and
            after `with_modules` `module` and `strength` (sum of the weights of a gene's links
            within its module).
        edges: columns `source`, `target`, `weight` and `cells` (the cells of the rarer gene, or
            those in which the effect was measured). Of an undirected network each pair stands once.
        directed: whether links go from `source` to `target` alone.
        embedding: (genes, dimensions), where the network was made of it; else None.
    """

    genes: pd.DataFrame
    edges: pd.DataFrame
    directed: bool
    embedding: pd.DataFrame | None = None

    @property
    def key(self) -> str:
        """What the weights are called in an AnnData: similarity, or effects."""
        return "geneformer_effects" if self.directed else "geneformer_similarity"

    def adjacency(self) -> scipy.sparse.csr_matrix:
        """(genes, genes) weights, float64: from row to column, and symmetric where undirected."""
        places = pd.Series(np.arange(len(self.genes)), index=self.genes.index)
        rows = places.loc[self.edges["source"]].to_numpy()
        columns = places.loc[self.edges["target"]].to_numpy()
        weights = self.edges["weight"].to_numpy(dtype=np.float64)
        shape = (len(places), len(places))
        matrix = scipy.sparse.csr_matrix((weights, (rows, columns)), shape=shape)
        return matrix if self.directed else (matrix + matrix.T).tocsr()

    def with_symbols(self, vocabulary: Any) -> "GeneNetwork":
        """The same, with symbols of genes from a `GeneVocabulary`."""
        positions = vocabulary.positions_of(self.genes.index)
        known = np.where(positions >= 0, vocabulary.symbols[positions], "")
        names = np.where(known == "", self.genes.index.astype(str), known)
        return replace(self, genes=self.genes.assign(symbol=names))

    def with_modules(
        self, resolution: float = 1.0, seed: int = 0, smallest: int = 3
    ) -> "GeneNetwork":
        """The same, with the module of every gene (Leiden, by scanpy; Traag et al., 2019).

        A directed network's weights are averaged over both directions first.

        Args:
            resolution: larger for more and smaller modules.
            seed: of the algorithm.
            smallest: genes of modules of fewer are of the module "none".

        Returns:
            A network whose `genes` have `module` ("1" is the largest) and `strength`.

        Raises:
            ImportError: scanpy or igraph is not installed.
        """
        try:
            importlib.import_module("igraph")  # which scanpy imports late
            import scanpy
        except ImportError as error:
            raise ImportError(
                "finding modules needs scanpy and igraph: pip install 'keras_geneformer[networks]'"
            ) from error
        import anndata

        adjacency = self.adjacency()
        if self.directed:
            adjacency = ((adjacency + adjacency.T) / 2).tocsr()
        plain = anndata.AnnData(obs=pd.DataFrame(index=self.genes.index.astype(str)))
        scanpy.tl.leiden(
            plain,
            resolution=resolution,
            random_state=seed,
            adjacency=adjacency,
            flavor="igraph",
            directed=False,
            n_iterations=-1,
        )
        found = plain.obs["leiden"].astype(str).to_numpy()
        sizes = pd.Series(found).value_counts(sort=False)
        sizes = sizes[sizes >= smallest].sort_values(ascending=False, kind="stable")
        names = {label: str(place) for place, label in enumerate(sizes.index, start=1)}
        module = np.array([names.get(label, NO_MODULE) for label in found], dtype=object)
        links = adjacency.tocoo()
        inside = (module[links.row] == module[links.col]) & (module[links.row] != NO_MODULE)
        strength = np.bincount(links.row[inside], links.data[inside], minlength=len(module))
        return replace(self, genes=self.genes.assign(module=module, strength=strength))

    def hubs(self, number: int = 5) -> pd.DataFrame:
        """The genes of most strength in each module: rows of `genes`, module by module.

        Raises:
            ValueError: modules have not been found.
        """
        if "module" not in self.genes:
            raise ValueError("This network has no modules yet: call with_modules() first.")
        inside = self.genes[self.genes["module"] != NO_MODULE]
        order = inside.assign(place=inside["module"].astype(int))
        order = order.sort_values(["place", "strength"], ascending=[True, False], kind="stable")
        return order.groupby("place", sort=False).head(number).drop(columns="place")

    def to_adata(self) -> "anndata.AnnData":
        """An AnnData without cells: genes as var, weights as sparse `varp`.

        Returns:
            (0, genes); `varp["geneformer_similarity"]` or `varp["geneformer_effects"]`, there from
            row to column; `varp` of the same name with `_cells`; with embeddings
            `varm["X_geneformer"]`.
        """
        import anndata

        var = self.genes.set_axis(self.genes.index.astype(str), axis=0)
        adata = anndata.AnnData(obs=pd.DataFrame(index=pd.Index([], dtype=str)), var=var)
        adata.varp[self.key] = self.adjacency()
        counted = replace(self, edges=self.edges.assign(weight=self.edges["cells"]))
        adata.varp[f"{self.key}_cells"] = counted.adjacency()
        if self.embedding is not None:
            adata.varm["X_geneformer"] = self.embedding.to_numpy()
        return adata
