"""The verbs that perturb genes in cells: `perturb`, `perturb-merge`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_geneformer.cli.gene_option import named_genes
from keras_geneformer.cli.model_options import add_states
from keras_geneformer.cli.output import TABLES, file_of
from keras_geneformer.cli.perturbation_summary import say_and_draw

_KINDS = ("delete", "overexpress", "inhibit", "activate", "set_rank")


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `perturb` and `perturb-merge`."""
    perturb = add(
        "perturb",
        _perturb,
        "delete genes in cells, or move them, and measure how far each cell moves",
        "Writes a table with a row for each cell, perturbation and measure: cell, gene, token,\n"
        "kind, measure, state and value. The measure cell_cosine is the cosine between the cell's\n"
        "embedding after and before (1: nothing moved); with states, state_shift is how much\n"
        "nearer the cell has come to each of them; with a classifier there are the shifts of the\n"
        "log odds and of the probability of each class. A picture of the genes that move cells\n"
        "most is drawn beside the table.\n\n"
        "A run that is stopped, whichever way, goes on where it was when it is started again.",
        "keras-geneformer perturb geneformer_v1_10m cells.dataset --kind delete --genes all "
        "--states states.json --output shifts.parquet",
        resumes=True,
    )
    perturb.add_argument(
        "inputs",
        nargs="+",
        metavar="[MODEL] DATASET",
        help="preset or published checkpoint directory, and tokenized cells (from `tokenize`)",
    )
    perturb.add_argument("--model", "--preset", help="the model, where it does not come first")
    perturb.add_argument(
        "--output",
        required=True,
        type=file_of(*TABLES),
        help=".parquet, or .csv, which is written beside the .parquet",
    )
    _add_what(perturb)
    _add_measures(perturb)
    _add_screen(perturb)
    perturb.add_argument(
        "--where", metavar="COLUMN=VALUE", help="only cells with this value in an obs column"
    )
    perturb.add_argument(
        "--max-cells", type=int, help="at most so many cells (of those), drawn at random"
    )
    perturb.add_argument(
        "--vocabulary",
        help="v1, v2 or a directory: names the genes (default: the vocabulary in the preset)",
    )
    add_states(perturb, ("mean", "cls", "first"))
    perturb.add_argument(
        "--shard", metavar="I/N", help="only the i-th of n parts of the cells; see perturb-merge"
    )
    perturb.add_argument(
        "--no-resume",
        action="store_true",
        help="begin again, and replace the output, whatever run it is of",
    )
    perturb.add_argument(
        "--published", action="store_true", help="as the published package does where we differ"
    )
    perturb.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    merge = add(
        "perturb-merge",
        _merge,
        "join the shards of one run of perturb",
        "Writes the table that the run would have written without shards. Shards that are\n"
        "missing, there twice or of another run are refused.",
        "keras-geneformer perturb-merge shard*.parquet --output all.parquet",
        keras=False,
    )
    merge.add_argument("shards", nargs="+", type=Path, help="the .parquet files of all shards")
    merge.add_argument("--output", required=True, type=file_of(*TABLES), help=".parquet or .csv")
    merge.add_argument(
        "--vocabulary", help="v1, v2, a directory or a preset: names the genes by their symbols"
    )


def _add_what(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--kind", choices=_KINDS, default="delete", help="(default: %(default)s)")
    verb.add_argument(
        "--genes",
        default="all",
        help="all, Ensembl ids or symbols with commas, or a file of them: .csv with a column "
        "ensembl_id, gene, gene_name or symbol, or a gene a line (default: %(default)s)",
    )
    verb.add_argument(
        "--together", action="store_true", help="all genes of the list at once, not each alone"
    )
    verb.add_argument(
        "--combination", type=int, default=1, help="2: all pairs of the list, 3: all triples"
    )
    verb.add_argument("--anchor", metavar="GENE", help="perturbed along with each other gene")
    verb.add_argument(
        "--rank-shift", type=int, default=1, help="inhibit, activate: by so many quantiles"
    )
    verb.add_argument(
        "--quantiles", type=int, default=4, help="of the ranks of a cell (default: %(default)s)"
    )
    verb.add_argument("--rank", type=int, help="set_rank: where to, from 0, the front")


def _add_measures(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--states",
        type=Path,
        metavar="FILE.json",
        help="an object with obs_key, start, goal and perhaps alternatives: cells of the start "
        "are perturbed, and shifts towards each state are measured",
    )
    verb.add_argument("--obs-key", help="the same in options: the column of obs")
    verb.add_argument("--start", help="its value for the cells that are perturbed")
    verb.add_argument("--goal", help="its value for those that they are to be like")
    verb.add_argument(
        "--alternatives", nargs="+", metavar="VALUE", help="its values for other states"
    )
    verb.add_argument(
        "--classifier", metavar="PRESET", help="a cell classifier whose answers are measured too"
    )
    verb.add_argument(
        "--affected-genes",
        action="store_true",
        help="also the cosine of every other gene of the cell: many rows",
    )


def _add_screen(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--screen", type=int, metavar="K", help="score all genes, and run only the top K exactly"
    )
    verb.add_argument(
        "--screen-by",
        choices=("gradient", "int8"),
        default="gradient",
        help="how they are scored (default: %(default)s)",
    )
    verb.add_argument(
        "--controls", type=int, help="genes drawn from the rest, run exactly as well (default: 10)"
    )
    verb.add_argument("--projections", type=int, help="of the gradient screen, a cell")


def _perturb(options: argparse.Namespace) -> None:
    from keras_geneformer import GeneVocabulary, perturb
    from keras_geneformer.analysis.perturbation.merging import (
        check_csv,
        effects_to_csv,
        read_shard,
    )

    model, dataset = _model_and_dataset(options.inputs, options.model)
    if options.output.suffix == ".csv":
        check_csv(options.output)
    shard = None if options.shard is None else read_shard(options.shard)
    vocabulary = GeneVocabulary.load(options.vocabulary) if options.vocabulary else None
    genes = named_genes(options.genes)
    states, cells = _states_and_cells(options, model, dataset)
    output = perturb(
        model,
        cells,
        kind=options.kind,
        genes=genes,
        together=options.together,
        combination=options.combination,
        anchor=options.anchor,
        rank_shift=options.rank_shift,
        quantiles=options.quantiles,
        rank=options.rank,
        layer=options.layer,
        pooling=options.pooling,
        states=states,
        classifier=options.classifier,
        affected_genes=options.affected_genes,
        screen=options.screen,
        screen_by=options.screen_by,
        controls=options.controls,
        projections=options.projections,
        max_cells=options.max_cells,
        batch_size=options.batch_size,
        vocabulary=vocabulary,
        output=options.output.with_suffix(".parquet"),
        shard=shard,
        resume=not options.no_resume,
        published=options.published,
        seed=options.seed,
        progress=True,
    )
    if options.output.suffix == ".csv":
        effects_to_csv(output, options.output)
    say_and_draw(output, options.output, vocabulary or cells.vocabulary or _of_preset(model))


def _merge(options: argparse.Namespace) -> None:
    from keras_geneformer import GeneVocabulary
    from keras_geneformer.analysis.perturbation.merging import (
        check_csv,
        effects_to_csv,
        perturb_merge,
    )

    vocabulary = GeneVocabulary.load(options.vocabulary) if options.vocabulary else None
    if options.output.suffix == ".csv":
        check_csv(options.output)
    output = perturb_merge(options.shards, options.output.with_suffix(".parquet"))
    if options.output.suffix == ".csv":
        effects_to_csv(output, options.output)
    say_and_draw(output, options.output, vocabulary)


def _model_and_dataset(inputs: list[str], model: str | None) -> tuple[str, str]:
    """What comes first on the command line is the model, unless --model says it."""
    said = " ".join(inputs)
    if len(inputs) > 2 or (model is not None and len(inputs) > 1):
        given = f" and --model {model}" if model is not None else ""
        raise ValueError(f"received {said}{given}; expected one model and one dataset")
    if model is not None:
        return model, inputs[0]
    if len(inputs) == 1:
        raise ValueError(
            f"received {said} alone; expected a model before the dataset, or with --model"
        )
    if (Path(inputs[0]) / "dataset_info.json").is_file():
        raise ValueError(
            f"{inputs[0]} comes first and is a dataset; expected the model first, then the dataset"
        )
    return inputs[0], inputs[1]


def _states_and_cells(
    options: argparse.Namespace, model: str, dataset: str
) -> tuple[dict[str, Any] | None, Any]:
    """The states as `perturb` takes them, and the cells that are perturbed.

    States are of all cells of the dataset, whichever of them are perturbed.
    """
    from keras_geneformer import CellDataset, embed_states
    from keras_geneformer.analysis.perturbation.states import States, read_states

    cells = CellDataset.load(dataset)
    single = {name: getattr(options, name) for name in ("obs_key", "start", "goal", "alternatives")}
    single = {name: value for name, value in single.items() if value is not None}
    if options.states is not None and single:
        names = ", ".join("--" + name.replace("_", "-") for name in single)
        raise ValueError(f"--states {options.states} says it all; received {names} as well")
    states = single or None if options.states is None else read_states(options.states)
    if options.where is None:
        return states, cells
    chosen = _chosen(cells, options.where)
    checked = States.of(states, cells)
    if checked is None:
        return None, chosen
    assert states is not None
    if not len(checked.rows(chosen, checked.start)):
        raise ValueError(
            f"--where {options.where!r}: none of its cells has {checked.obs_key}={checked.start}, "
            "the start"
        )
    vectors = embed_states(
        model,
        cells,
        checked.obs_key,
        states=checked.names,
        layer=options.layer,
        pooling=options.pooling,
        published=options.published,
        progress=True,
    )
    return states | {"vectors": vectors}, chosen


def _of_preset(model: str) -> Any:
    from keras_geneformer.models.presets import preset_vocabulary

    return preset_vocabulary(model)


def _chosen(cells: Any, where: str) -> Any:
    """The cells that --where leaves."""
    column, equals, value = where.partition("=")
    if not equals or column not in cells.obs:
        raise ValueError(
            f"--where {where!r}: expected COLUMN=VALUE with one of the columns "
            f"{', '.join(map(str, cells.obs.columns))}"
        )
    kept = (cells.obs[column].astype(str) == value).to_numpy()
    if not kept.any():
        values = ", ".join(sorted(set(cells.obs[column].astype(str)))[:20])
        raise ValueError(f"--where {where!r}: no cell has it; {column} holds {values}")
    return cells.subset(kept)
