"""The model card of a student: README.md in its preset."""

from typing import Any


def card_text(result: Any, name: str) -> str:
    """Markdown with the front matter of the Hugging Face hub.

    Args:
        result: a `DistillResult`.
        name: of the model.
    """
    run, backbone = result.run, result.model.backbone
    begun = (
        f"It began with blocks {', '.join(map(str, run['blocks']))} of the teacher's "
        f"{run['teacher_blocks']}."
        if isinstance(run["blocks"], list)
        else f"The teacher has {run['teacher_blocks']} blocks."
    )
    lines = [
        "---",
        "library_name: keras",
        "tags:",
        *(f"- {tag}" for tag in ("keras", "biology", "single-cell", "geneformer", "distillation")),
        "---",
        "",
        f"# {name}",
        "",
        f"A {type(result.model).__name__} of {result.parameters:,} parameters "
        f"({backbone.num_layers} encoder blocks, {backbone.hidden_dim} dim), distilled with "
        f"keras_geneformer from one of {result.teacher_parameters:,}. {begun}",
        "",
        "```python",
        "import keras_geneformer as kg",
        f'model = kg.{type(result.model).__name__}.from_preset("{name}")',
        "```",
        "",
        "## Training",
        "",
        f"{run['cells']:,} cells; temperature {run['temperature']:g}; scores of the teacher count "
        f"{run['soft']:g}, the truth {run['hard']:g}, hidden states {run['hidden']:g}; seed "
        f"{run['settings']['seed']}, {run['settings']['epochs']:g} epochs.",
    ]
    if result.metrics:
        lines += [
            "",
            "## On cells it did not learn from",
            "",
            "| | |",
            "|---|---|",
            *(f"| {key} | {value:.4f} |" for key, value in result.metrics.items()),
        ]
    return "\n".join(lines) + "\n"
