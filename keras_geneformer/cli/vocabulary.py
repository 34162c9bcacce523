"""The verb `fit-vocabulary`, which needs no Keras."""

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from keras_geneformer.cli.counts_options import add_counts_options, counts_options

if TYPE_CHECKING:
    from keras_geneformer import GeneVocabulary
    from keras_geneformer.tokenization.medians.gene_medians import GeneMedians


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `fit-vocabulary`."""
    fit = add(
        "fit-vocabulary",
        _fit_vocabulary,
        "a vocabulary of your own: the genes of a corpus, and their nonzero medians",
        "For a species or corpus that the published vocabularies do not cover. Models have to be\n"
        "pretrained with it. Memory does not grow with the number of cells; parts of a corpus can\n"
        "be read apart (--save-medians) and put together (--merge).",
        "keras-geneformer fit-vocabulary mouse/*.h5ad --workers 2 --min-cells 10 \\\n"
        "      --output mouse_vocabulary",
        keras=False,
    )
    fit.add_argument("files", nargs="*", metavar="FILE", help="files of counts, or folders of them")
    fit.add_argument("--output", metavar="DIR", help="vocabulary to write")
    fit.add_argument(
        "--merge", nargs="+", metavar="PART", help="files that --save-medians wrote, as the corpus"
    )
    fit.add_argument("--save-medians", metavar="PART", help="file for the medians of this part")
    fit.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")
    _add_selection(fit)
    add_counts_options(fit)


def _add_selection(fit: argparse.ArgumentParser) -> None:
    fit.add_argument(
        "--biotypes", metavar="A,B", help="keep genes of these only, e.g. protein_coding,miRNA"
    )
    fit.add_argument("--biotype-key", metavar="COLUMN", help="var column with biotypes")
    fit.add_argument(
        "--biotype-table",
        metavar="FILE",
        help="table of gene ids and biotypes instead (columns ensembl_id and gene_type)",
    )
    fit.add_argument(
        "--min-cells",
        type=int,
        default=1,
        metavar="N",
        help="keep genes detected in so many cells (default: %(default)s)",
    )
    fit.add_argument(
        "--max-genes", type=int, metavar="N", help="keep no more: those detected in most cells"
    )
    fit.add_argument(
        "--extend",
        metavar="VOCABULARY",
        help="v1, v2 or a directory: its genes keep their token ids and medians, new ones follow",
    )
    fit.add_argument(
        "--special-tokens",
        metavar="A,B",
        help="in the order of their ids, e.g. '<pad>,<mask>,<cls>,<eos>' (default: those of "
        "--extend, else '<pad>,<mask>')",
    )
    fit.add_argument(
        "--max-length",
        type=int,
        metavar="N",
        help="longest input of its models, in tokens (default: that of --extend, else 2048)",
    )
    fit.add_argument("--name", default="custom", help="its name (default: %(default)s)")
    fit.add_argument(
        "--orthologs",
        metavar="FILE",
        help="table of another species' genes (columns gene, ortholog and perhaps symbol) that "
        "the vocabulary is to understand too",
    )


def _fit_vocabulary(options: argparse.Namespace) -> None:
    from keras_geneformer import GeneVocabulary
    from keras_geneformer.tokenization.genes.orthologs import Orthologs

    _check(options)
    extend = None if options.extend is None else GeneVocabulary.load(options.extend)
    _check_files(options, extend)
    orthologs = None if options.orthologs is None else Orthologs.read(options.orthologs)
    medians = _merged(options.merge) if options.merge else _read(options)
    read = f"{medians.cells} cells"
    if options.save_medians:
        medians.save(options.save_medians)
        print(f"medians of {len(medians.genes)} genes in {read} in {options.save_medians}")
    if not options.output:
        return
    vocabulary = GeneVocabulary.fit(
        medians,
        biotypes=_names(options.biotypes),
        biotype_table=options.biotype_table,
        min_cells=options.min_cells,
        max_genes=options.max_genes,
        extend=extend,
        special_tokens=_names(options.special_tokens),
        max_length=options.max_length,
        name=options.name,
    )
    if orthologs is not None:
        vocabulary = vocabulary.with_orthologs(orthologs)
    vocabulary.save(options.output)
    print(
        f"{len(vocabulary)} genes of {read}, {vocabulary.size} token ids (checksum "
        f"{vocabulary.checksum[:12]}) in {options.output}"
    )


def _check(options: argparse.Namespace) -> None:
    """Refuse before anything is read what could only fail after it."""
    if bool(options.files) == bool(options.merge):
        raise ValueError("expected either files of counts or --merge with parts")
    if not options.output and not options.save_medians:
        raise ValueError("nothing would be written: give --output, --save-medians or both")
    if options.biotypes and not options.output:
        raise ValueError("--save-medians keeps all genes: choose --biotypes when parts are merged")
    if options.biotypes:
        sources = (options.biotype_key, options.biotype_table, options.merge)
        if not any(sources):
            raise ValueError("--biotypes needs --biotype-key or --biotype-table")
    elif options.biotype_table or (options.biotype_key and not options.save_medians):
        raise ValueError("--biotypes says which genes to keep; it is missing")


def _check_files(options: argparse.Namespace, extend: "GeneVocabulary | None") -> None:
    """The same, of what has to be looked at: files to write, tables, and limits."""
    from keras_geneformer.tokenization.genes.vocabulary_format import is_vocabulary_directory
    from keras_geneformer.tokenization.medians.gene_medians import check_medians_file
    from keras_geneformer.tokenization.medians.gene_selection import check_selection, read_biotypes
    from keras_geneformer.tokenization.publishing import check_destination

    if options.save_medians:
        check_medians_file(options.save_medians)
    if options.output:
        check_destination(options.output, is_vocabulary_directory)
    check_selection(
        min_cells=options.min_cells,
        max_genes=options.max_genes,
        extend=extend,
        special_tokens=_names(options.special_tokens),
        max_length=options.max_length,
    )
    if options.biotype_table:
        read_biotypes(options.biotype_table)


def _read(options: argparse.Namespace) -> "GeneMedians":
    from keras_geneformer.tokenization.medians.median_fitting import fit_medians

    return fit_medians(
        options.files,
        biotype_key=options.biotype_key,
        workers=options.workers,
        progress=True,
        **counts_options(options),
    )


def _merged(paths: Sequence[str]) -> "GeneMedians":
    """The parts, in the order given."""
    from keras_geneformer.tokenization.medians.gene_medians import GeneMedians

    merged = GeneMedians.load(paths[0])
    for path in paths[1:]:
        merged.merge(GeneMedians.load(path))
    return merged


def _names(listed: str | None) -> list[Any] | None:
    return None if listed is None else [name.strip() for name in listed.split(",") if name.strip()]
