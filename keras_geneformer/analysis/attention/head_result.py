"""What heads attend to, as tables and in words."""

from dataclasses import dataclass

import pandas as pd

SIGNIFICANT = 0.05
"""FDR below which a head is counted."""

_WORDS = {"greater": "more", "less": "less", "two-sided": "otherwise"}


@dataclass(frozen=True)
class HeadAttention:
    """Each head's attention to classes of genes, to ranks, and how spread it is.

    Layers and heads count from 1. With groups of cells every table has their column first.

    Attributes:
        heads: one row a class, layer and head: `gene_class`, `against`, `genes` and `other_genes`
            (how many), `attention` and `other_attention` (means over genes; 1 is an even share),
            `auc` (share of pairs in which the gene of the class receives more; .5 is chance), `p`
            and `fdr` of the rank-sum test; the same among genes of like mean rank,
            `auc_at_like_rank`, `p_at_like_rank`, `fdr_at_like_rank`; and the mean ranks of both,
            `rank_share` and `other_rank_share` (0 is the front of the cell, 1 its end).
        ranks: one row a layer, head and tenth of a cell's genes by rank: `rank_from`, `rank_to`,
            `attention` (mean over cells of the tenth's mean; 1 is an even share) and `cells`.
        diversity: one row a layer and head, means over the genes of a cell as queries and then over
            cells: `entropy` of a gene's attention in nats; `effective_tokens`, its exponential, the
            number of tokens a gene attends to; `rank_distance`, how far in rank the tokens attended
            to are (1/3 where attention is even); `rank_attended`, their mean rank (1/2 where even);
            `rank_spread`, the standard deviation of their rank (0.29 where even), these three as
            shares of the cell's length; `tokens_in_use`, the exponential of the entropy of what all
            genes together attend to; `to_special`, the share that goes to special tokens; `cells`.
        genes: one row a gene that was compared: `ensembl_id`, `symbol`, `gene_class`, `cells`,
            `rank`, `rank_share`, and `layer_1` and so on, the attention it receives there, mean of
            heads.
        alternative: of the tests: "greater", "less" or "two-sided".
        cells: how many were run.
    """

    heads: pd.DataFrame
    ranks: pd.DataFrame
    diversity: pd.DataFrame
    genes: pd.DataFrame
    alternative: str
    cells: int

    def text(self) -> str:
        """The findings, a line each, in plain words."""
        lines = [f"{self.cells} cells; attention relative to an even share over a cell's tokens"]
        before = self.heads.columns[: self.heads.columns.get_loc("layer")].tolist()
        for keys, table in self.heads.groupby([*before, "gene_class", "against"], sort=False):
            *group, label, against = keys
            where = f"{before[0]} {group[0]}: " if group else ""
            found = int((table["fdr"] < SIGNIFICANT).sum())
            like = int((table["fdr_at_like_rank"] < SIGNIFICANT).sum())
            best = table.loc[table["auc"].idxmax()]
            lines.append(
                f"{where}{found} of {len(table)} heads ({100 * found / len(table):.0f}%) attend "
                f"{_WORDS[self.alternative]} to {label} ({best['genes']} genes) than to {against} "
                f"({best['other_genes']} genes), FDR < {SIGNIFICANT}; among genes of like rank "
                f"{like} ({100 * like / len(table):.0f}%). Largest AUC {best['auc']:.3f}, layer "
                f"{best['layer']} head {best['head']} (at like rank "
                f"{best['auc_at_like_rank']:.3f})"
            )
        by_layer = self.ranks[self.ranks["rank_from"] == 0].groupby("layer")["attention"].mean()
        lines.append(
            "attention to the highest-ranked tenth of a cell's genes, mean of heads: "
            + ", ".join(f"layer {layer} {value:.2f}" for layer, value in by_layer.items())
        )
        few = self.diversity.groupby("layer")["effective_tokens"].mean()
        lines.append(
            "tokens that a gene attends to, mean of heads: "
            + ", ".join(f"layer {layer} {value:.0f}" for layer, value in few.items())
        )
        return "\n".join(lines)
