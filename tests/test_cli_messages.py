import re
from pathlib import Path

import pytest

import keras_geneformer
from keras_geneformer.cli import main
from keras_geneformer.cli.messages import for_the_command_line
from keras_geneformer.testing import synthetic_cells, tiny_vocabulary


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Give gene_key= the column of var", "Give --gene-key the column of var"),
        ("n_counts_key= another", "--n-counts-key another"),
        ("or pass n_counts_key=None to sum", "or pass --n-counts-key sum to sum"),
        ("in a layer (layer=\"counts\") or in .raw (layer=\"raw\")",
         "in a layer (--layer counts) or in .raw (--layer raw)"),
        ("give layer= one of: a", "give --layer one of: a"),
        ("pass check_counts=False", "pass --no-check-counts"),
        ("pass vocabulary=GeneVocabulary.load(...), or ids", "pass --vocabulary, or ids"),
        ("(vocabulary.with_orthologs, --orthologs)", "(--orthologs)"),
        ("has no column a; it has b (None takes var_names)",
         "has no column a; it has b (var_names: the names of its rows)"),
        ("Received distribute='mirrored:2' on", "Received --distribute mirrored:2 on"),
        ("Nothing to train: epochs=0, steps=None; ex", "Nothing to train: --epochs 0; ex"),
        ("Received checkpoint_every=0; ex", "Received --checkpoint-every 0; ex"),
        ("hold some out (validation=0.1) or", "hold some out (--validation 0.1) or"),
        ("Received recipe='v1_9m'; expected", "Received --recipe v1_9m; expected"),
        ("Give batch_size or max_tokens, not", "Give --batch-size or --max-tokens, not"),
        ("from a pretrained model: give model= a preset.",
         "from a pretrained model: give a preset with --model."),
        ("pack=10: a cell of 64 tokens is longer. Give pack=64 or more",
         "--packed 10: a cell of 64 tokens is longer. Give --packed 64 or more"),
        ("batch_size must be at least 1", "--batch-size must be at least 1"),
        ("or begin again with resume=False", "or begin again with --no-resume"),
        ("files that perturb wrote with shard=(i, n)", "files that perturb wrote with --shard i/n"),
        ("Set KERAS_BACKEND=jax, or use distribute='mirrored' or 'multiworker' here.",
         "Give --backend jax, or use --distribute mirrored or multiworker here."),
        ("that run's settings to go on with it, or choose or empty another directory.",
         "that run's settings to go on with it, choose another --output, or delete that "
         "directory."),
        ("the loss=3 stays", "the loss=3 stays"),
    ],
)  # fmt: skip
def test_arguments_become_options(said, shown):
    assert for_the_command_line(said) == shown


def test_remedies_in_the_library_are_known_here():
    """Whoever adds a remedy with one of these arguments sees it in the command's words."""
    arguments = (
        r"(gene_key|n_counts_key|check_counts|keep_counts|layer)=(None|False|True|\"\w+\"| )"
    )
    package = Path(keras_geneformer.__file__).parent / "tokenization"
    texts = [
        text
        for path in package.rglob("*.py")
        for text in re.findall(r"f?(?:\"[^\"\n]*\"|'[^'\n]*')", path.read_text(encoding="utf-8"))
        if re.search(arguments, text)
    ]
    assert len(texts) >= 6
    assert [text for text in texts if re.search(arguments, for_the_command_line(text))] == []


def test_an_error_of_the_command(tmp_path, capfd):
    adata = synthetic_cells(30)
    adata.X = adata.X.log1p()
    adata.write_h5ad(tmp_path / "x.h5ad")
    tiny_vocabulary().save(tmp_path / "vocabulary")
    arguments = ["--vocabulary", str(tmp_path / "vocabulary"), "--output", str(tmp_path / "out")]
    assert main(["tokenize", str(tmp_path / "x.h5ad"), *arguments]) == 2
    shown = capfd.readouterr().err
    assert "(--layer counts)" in shown
    assert "pass --no-check-counts" in shown
    assert "check_counts=" not in shown
