"""Exact medians of more gene states than memory holds."""

import shutil
import tempfile

import numpy as np

from keras_geneformer.analysis.gene_states import GenePlaces, GeneStates
from keras_geneformer.analysis.state_embedding import median


def median_states(
    source: GeneStates, places: GenePlaces, lower: bool = False, progress: bool = False
) -> np.ndarray:
    """The median of each dimension over the cells, for each place.

    States wait in a temporary file, those of a place together: 4 bytes a dimension for each gene
    of each cell (1 kB a gene at 256 dimensions). Then places are read one by one, so that memory
    holds the states of one gene over the cells that have it.

    Args:
        source: of the states.
        places: where they gather.
        lower: the lower of the two middle values where their number is even; else their mean.
        progress: show a bar.

    Returns:
        (places, hidden_dim) float64.

    Raises:
        OSError: the disk of temporary files has not the room.
    """
    row = 4 * source.hidden_dim
    needed = int(places.counts.sum()) * row
    starts = np.concatenate([[0], np.cumsum(places.counts)])
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if needed > free:
        raise OSError(
            f"Medians of these genes need {needed / 1e9:.1f} GB of temporary files, and "
            f"{tempfile.gettempdir()} has {free / 1e9:.1f} GB: set TMPDIR to a larger disk, name "
            "fewer genes, or take the mean."
        )
    written = np.zeros(len(places.counts), dtype=np.int64)
    with tempfile.TemporaryFile() as file:
        for genes in source.batches(progress):
            ordered, states = places.of(genes)
            there, firsts = np.unique(ordered, return_index=True)
            for place, of_place in zip(there, np.split(states, firsts[1:])):
                file.seek(int(starts[place] + written[place]) * row)
                file.write(np.ascontiguousarray(of_place, dtype=np.float32).tobytes())
                written[place] += len(of_place)
        file.flush()
        medians = np.empty((len(places.counts), source.hidden_dim))
        file.seek(0)
        for place, count in enumerate(places.counts.tolist()):
            values = np.frombuffer(file.read(count * row), np.float32).reshape(count, -1)
            medians[place] = median(values.astype(np.float64).T, lower)
    return medians
