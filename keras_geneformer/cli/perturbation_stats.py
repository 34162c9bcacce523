"""The verb that asks which perturbed genes matter: `perturb-stats`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_geneformer.cli.output import TABLES, draw_or_say_why_not, file_of, write_table

_METHODS = ("goal_state_shift", "vs_null", "mixture", "aggregate", "gene_shifts")


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `perturb-stats`."""
    stats = add(
        "perturb-stats",
        _perturb_stats,
        "which perturbed genes move cells, against what, and how surely",
        "Reads the table of `perturb` and writes a row a gene, and pictures beside it. Genes are\n"
        "compared with genes that stand at similar ranks and occur in similarly many cells; with\n"
        "--donor-key donors are the sample, not cells. --gene-set asks whether the genes on top\n"
        "match a known list, and writes a table of that too.",
        "keras-geneformer perturb-stats shifts.parquet --method goal_state_shift "
        "--cells cells.dataset --donor-key donor --output stats.csv",
        keras=False,
    )
    stats.add_argument("effects", type=Path, help="table of `perturb` (.parquet or .csv)")
    stats.add_argument("--output", required=True, type=file_of(*TABLES), help=".csv or .parquet")
    stats.add_argument(
        "--method", choices=_METHODS, default="goal_state_shift", help="(default: %(default)s)"
    )
    stats.add_argument(
        "--null",
        metavar="NULL",
        help="matched (default), all or zero; for vs_null a table of effects in other cells",
    )
    stats.add_argument("--goal", help="state or class (default: what the table says)")
    stats.add_argument(
        "--alternatives", metavar="STATES", help="other states, with commas between them"
    )
    stats.add_argument("--genes", help="report only these, with commas between them")
    stats.add_argument("--anchor", help="gene perturbed along with each other one (mixture)")
    stats.add_argument("--measure", help="state_shift (default), log_odds_shift, probability_shift")
    stats.add_argument("--kind", help="of perturbation, where the table holds several")
    stats.add_argument("--cells", metavar="DATASET", help="the cells: ranks, donors and vocabulary")
    stats.add_argument("--donor-key", help="column of their obs with donors")
    stats.add_argument(
        "--test",
        choices=("rank-sum", "donor-means", "donor-ranks", "mixed-model"),
        help="default: rank-sum, or donor-means with --donor-key",
    )
    stats.add_argument("--noise", type=Path, help="the same effects measured again: noise floor")
    stats.add_argument(
        "--null-genes", type=int, default=50, help="peers of a gene (default: %(default)s)"
    )
    stats.add_argument(
        "--minimum-detections",
        type=int,
        default=5,
        help="cells of a gene that is tested (default: %(default)s)",
    )
    stats.add_argument(
        "--gene-set", metavar="FILE", help="known genes: a table with ensembl_id or gene_name"
    )
    stats.add_argument(
        "--vocabulary", help="v1, v2, a directory or a preset: names genes (default: of the cells)"
    )
    stats.add_argument(
        "--published", action="store_true", help="what the published package gives, mistakes too"
    )


def _perturb_stats(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, GeneVocabulary, perturbation_stats

    for read in (options.effects, options.noise, options.null, options.gene_set):
        if read is not None and options.output.resolve() == Path(read).resolve():
            raise ValueError(
                f"--output {options.output} is a table that is read; it would be lost. Choose "
                "another output"
            )
    cells = CellDataset.load(options.cells) if options.cells else None
    vocabulary = GeneVocabulary.load(options.vocabulary) if options.vocabulary else None
    if vocabulary is None and cells is not None:
        vocabulary = cells.vocabulary
    states = None
    if options.goal:
        states = {"goal": options.goal, "alternatives": _names(options.alternatives)}
    elif options.alternatives:
        raise ValueError("--alternatives without --goal; expected both, or neither")
    table = perturbation_stats(
        options.effects,
        options.method,
        null=options.null,
        states=states,
        genes=None if options.genes is None else _names(options.genes),
        anchor=options.anchor,
        vocabulary=vocabulary,
        cells=cells,
        donor_key=options.donor_key,
        test=options.test,
        measure=options.measure,
        kind=options.kind,
        noise=options.noise,
        null_genes=options.null_genes,
        minimum_detections=options.minimum_detections,
        published=options.published,
    )
    found = None
    if options.gene_set:
        from keras_geneformer import gene_set_enrichment

        found = gene_set_enrichment(
            table,
            options.gene_set,
            vocabulary=vocabulary,
            null_genes=options.null_genes,
            minimum_detections=options.minimum_detections,
        )
    # The published tables are told apart by the row's place before sorting.
    write_table(table, options.output, index=options.published)
    print(_summary(table, options.output))
    if found is not None:
        beside = options.output.with_suffix(".gene_set.csv")
        write_table(found, beside, index=False)
        for row in found.itertuples():
            print(
                f"{row.set}: {row.genes} genes, AUROC {row.auroc:.3f} "
                f"({row.auroc_low:.3f} to {row.auroc_high:.3f}, p {row.auroc_p:.2g}); "
                f"{row.in_top} of them among the top {row.top}, {row.expected_in_top:.1f} expected"
            )
        print(f"enrichment in {beside}")
    drawn: list[Path] = []
    if draw_or_say_why_not(lambda: drawn.extend(_draw(table, options.output))) and drawn:
        print(f"pictures: {', '.join(map(str, drawn))}")


def _summary(table: Any, output: Path) -> str:
    if "Sig" not in table:
        return f"{len(table)} rows in {output}"
    significant = table[table["Sig"] == 1]
    text = f"{len(table)} genes in {output}; {len(significant)} significant (FDR below 0.05)"
    names = significant["Gene_name"].fillna(significant["Ensembl_ID"]).astype(str).head(5)
    return text + (
        f": {', '.join(names)}{', …' if len(significant) > 5 else ''}" * bool(len(names))
    )


def _draw(table: Any, output: Path) -> list[Path]:
    """Draws the pictures that a table has the columns for; returns their files."""
    from keras_geneformer import plotting
    from keras_geneformer.plotting.statistic_columns import DRAWN

    drawn: list[Path] = []

    def beside(name: str) -> Path:
        drawn.append(output.with_suffix(f".{name}.png"))
        return drawn[-1]

    columns = set(map(str, table.columns))
    if "Affected" in columns:
        if (table["Affected"].astype(str) != "cell_emb").any():
            plotting.gene_effect_heatmap(table, beside("heatmap"))
        return drawn
    if "Ensembl_ID" not in columns or "cell" in columns:
        return []
    table = table.assign(
        Gene_name=table["Gene_name"].where(table["Gene_name"].notna(), table["Ensembl_ID"])
    )
    for effect, p, fdr, label in DRAWN:
        if fdr in columns and table[fdr].notna().any():
            table = table[table[fdr].notna()]
        if {effect, fdr, "Sig"} <= columns and table[effect].notna().any():
            plotting.ranked_genes(table, beside("ranked"), effect=effect, xlabel=label)
            if table[[effect, p]].notna().all(axis=1).any():
                plotting.volcano(table, beside("volcano"), effect=effect, p=p, xlabel=label)
            break
    else:
        if "Test_avg_shift" in columns:
            plotting.gene_bars(
                table.assign(moved=1 - table["Test_avg_shift"]),
                beside("ranked"),
                gene="Gene_name",
                value="moved",
                xlabel="1 - cosine",
            )
    if any(name.startswith("Shift_to_alt_end_") for name in columns) and "Gene" in columns:
        plotting.gene_arrows(table, beside("arrows"))
    return drawn


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()] if text else []
