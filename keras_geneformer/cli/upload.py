"""The verb `upload`."""

import argparse
from collections.abc import Callable


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `upload`."""
    verb = add(
        "upload",
        _upload,
        "a preset to the Hugging Face hub",
        "Uploads what a preset consists of, in one commit, after its checksum was verified; other\n"
        "files in its directory stay here. A repository that is not there is made. A preset\n"
        "without README.md gets a model card on the hub. The token is HF_TOKEN, or that of\n"
        "`hf auth login`.",
        "keras-geneformer upload heart_cell_types hf://lab/heart/cell_types --private",
        keras=False,
    )
    verb.add_argument("preset", help="preset of ours: directory, name or .keras file")
    verb.add_argument("address", help="hf://organisation/repository, or a subfolder of it")
    verb.add_argument("--private", action="store_true", help="make a new repository private")
    verb.add_argument("--revision", metavar="BRANCH", help="branch to commit to (default: main)")
    verb.add_argument("--message", help="of the commit")
    verb.add_argument("--licence", "--license", help="for the card, e.g. apache-2.0")
    verb.add_argument("--base-model", help="for the card: what it was trained on from")
    verb.add_argument("--dry-run", action="store_true", help="list the files and send nothing")


def _upload(options: argparse.Namespace) -> None:
    from keras_geneformer import upload_preset

    upload = upload_preset(
        options.preset,
        options.address,
        private=options.private or None,
        revision=options.revision,
        message=options.message,
        licence=options.licence,
        base_model=options.base_model,
        dry_run=options.dry_run,
    )
    for name, size in upload.files.items():
        print(f"{size:>15,}  {name}")
    for name in upload.replaced:
        print(f"{'removed':>15}  {name}")
    if options.dry_run:
        print(f"would go to {upload.address}; nothing was sent")
    else:
        print(f"in {upload.address}, commit {upload.commit}")
