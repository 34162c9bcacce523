"""Counts to try things on, with what was used and why said aloud."""

import os
from pathlib import Path
from typing import Any

from keras_geneformer.examples.sources import SOURCES, ExampleSource

FOLDER = "KERAS_GENEFORMER_DATA"
"""The environment variable that names a folder of `.h5ad` files to look in first."""


def example_counts(
    name: str,
    *,
    folder: str | Path | None = None,
    download: bool = True,
    stand_in: bool = True,
) -> Any:
    """Real counts by name: from a folder of yours, or downloaded, or 700 bundled cells instead.

    Looked for in this order; a line is printed that says which one it was:

    1. the data set's file in `folder` (or the folder that the environment variable
       `KERAS_GENEFORMER_DATA` names);
    2. where it has an address, the download, kept in the user's cache (`pooch.os_cache`) and
       held to its sha256. It needs the extra `notebooks`;
    3. the 700 blood cells that come with scanpy, with the columns of the data set that was asked
       for, filled by their own cell types, so that the same code runs. What it then finds is about
       blood cells.

    Args:
        name: "pbmc3k", "pancreas" (obs `cell_type`, `tech`), "kang" (`condition`: ctrl, stim),
            "heart" (`day`: day2, day5), "brain_ad" (`condition`: AD, control), or "pbmc68k": the
            700 cells themselves (`cell_type`).
        folder: a folder of `.h5ad` files. Default: `KERAS_GENEFORMER_DATA`, where it is set.
        download: whether to try the network.
        stand_in: whether other cells may stand in. If not, what is missing is an error.

    Returns:
        An AnnData with counts (CSR float32) in X, gene symbols as var_names or Ensembl ids in
        `var["ensembl_id"]`.

    Raises:
        ValueError: there is no such example, or a download is not the file that was published.
        FileNotFoundError: it cannot be had, and nothing may stand in.
        ImportError: scanpy, which has the 700 cells, is not installed.

    Example:
        >>> adata = example_counts("pbmc68k")
        pbmc68k: the 700 blood cells that come with scanpy
        >>> adata.shape
        (700, 765)
    """
    if name == "pbmc68k":
        print("pbmc68k: the 700 blood cells that come with scanpy")
        return _blood_cells()
    if name not in SOURCES:
        known = ", ".join(map(repr, [*SOURCES, "pbmc68k"]))
        raise ValueError(f"no example data {name!r}; there are {known}")
    source = SOURCES[name]
    folder = folder if folder is not None else os.environ.get(FOLDER)
    reasons = []
    if folder is None:
        reasons.append(f"no folder of data is named ({FOLDER})")
    else:
        path = Path(folder) / source.file
        if path.is_file():
            print(f"{name}: {source.about}; read from {source.file}")
            return _read(path)
        reasons.append(f"there is no {source.file} in {folder}")
    if source.url is None:
        reasons.append("it has no address to download it from")
    elif not download:
        reasons.append("downloading is switched off")
    else:
        found, reason = _downloaded(name, source)
        if found is not None:
            print(f"{name}: {source.about}; downloaded from {source.url}, sha256 as published")
            return source.prepare(_read(found))
        reasons.append(reason)
    if not stand_in:
        raise FileNotFoundError(f"{name} cannot be had: {'; '.join(reasons)}")
    print(
        f"{name} cannot be had: {'; '.join(reasons)}.\n"
        "700 blood cells that come with scanpy stand in, so that the code runs. What follows is "
        f"about blood cells, not about {source.about}."
    )
    return _standing_in(source)


def _downloaded(name: str, source: ExampleSource) -> tuple[Path | None, str]:
    """The path of the download, or why there is none."""
    try:
        import pooch
    except ImportError:
        return None, "downloading needs pooch: pip install 'keras_geneformer[notebooks]'"
    import requests

    pooch.get_logger().setLevel("WARNING")
    cache = Path(pooch.os_cache("keras_geneformer"))
    try:
        path = pooch.retrieve(
            source.url,
            known_hash=f"sha256:{source.sha256}",
            fname=f"{name}.h5ad",
            path=cache,
            downloader=pooch.HTTPDownloader(progressbar=True, timeout=30),
        )
    except requests.RequestException as error:
        return None, f"{source.url} cannot be reached ({type(error).__name__})"
    except ValueError as error:
        raise ValueError(
            f"what {source.url} sent is not the published file (sha256 {source.sha256}); it was "
            f"not kept. Try again, or save the published file as {cache / f'{name}.h5ad'}: {error}"
        ) from error
    return Path(path), ""


def _read(path: Path) -> Any:
    import anndata

    return anndata.read_h5ad(path)


def _blood_cells() -> Any:
    from keras_geneformer.examples.pbmc68k import LABEL_KEY, pbmc68k_counts

    adata = pbmc68k_counts()
    adata.obs["cell_type"] = adata.obs[LABEL_KEY].astype(str).astype("category")
    return adata


def _standing_in(source: ExampleSource) -> Any:
    """Blood cells whose types are given the names that the notebooks expect."""
    adata = _blood_cells()
    types = adata.obs["cell_type"].astype(str)
    if not source.stand_in:
        return adata
    chosen = next(iter(source.stand_in.values()))
    adata = adata[types.isin(list(chosen)).to_numpy()].copy()
    types = adata.obs["cell_type"].astype(str)
    for column, names in source.stand_in.items():
        adata.obs[column] = types.map(names).astype("category")
    return adata
