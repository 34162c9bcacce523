"""How sure a classifier may be: what was learnt of it on cells that it was not trained on."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

CALIBRATION_FILE = "calibration.safetensors"
_KNOWN = ("temperature", "threshold", "share", "means", "precision", "distance")


@dataclass(frozen=True)
class Calibration:
    """What makes probabilities mean what they say, and tells cells that are of no known class.

    Args:
        temperature: scores are divided by it before the softmax (Guo et al. 2017).
        threshold: cells whose greatest probability is below it are left unassigned; infinite where
            no threshold makes `share` of the validation cells above it right.
        share: of the validation cells above the threshold that were to be right.
        means: (classes, hidden_dim) mean features of the training cells of each class.
        precision: (hidden_dim, hidden_dim) inverse of the covariance that they share.
        distance: Mahalanobis distance to the nearest mean beyond which a cell is left unassigned
            (Lee et al. 2018).

    Example:
        >>> import numpy as np
        >>> calibration = Calibration(2.0, 0.5, 0.95, np.zeros((2, 3)), np.eye(3), 4.0)
        >>> calibration.distances(np.ones((1, 3))).round(2).tolist()
        [[1.73, 1.73]]
    """

    temperature: float
    threshold: float
    share: float
    means: np.ndarray
    precision: np.ndarray
    distance: float

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Mahalanobis distance of every cell to every class.

        Args:
            features: (cells, hidden_dim), of `GeneformerCellClassifier.feature_model`.

        Returns:
            (cells, classes) float64.
        """
        away = features.astype(np.float64)[:, None, :] - self.means[None, :, :]
        return np.sqrt(np.maximum(np.einsum("ncd,de,nce->nc", away, self.precision, away), 0.0))

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write calibration.safetensors into a directory."""
        from safetensors.numpy import save_file

        arrays = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        arrays = {name: np.array(x, dtype=np.float64, order="C") for name, x in arrays.items()}
        save_file(arrays, Path(directory) / CALIBRATION_FILE)

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> "Calibration | None":
        """What `save` wrote; None where there is nothing.

        Raises:
            ValueError: the file holds something else.
        """
        from safetensors.numpy import load_file

        path = Path(directory) / CALIBRATION_FILE
        if not path.is_file():
            return None
        arrays = load_file(path)
        if sorted(arrays) != sorted(_KNOWN):
            raise ValueError(
                f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; expected "
                f"{', '.join(sorted(_KNOWN))}. Copy the preset again."
            )
        # Early files hold a number as an array of one.
        values: dict[str, Any] = {
            name: x if x.ndim > 1 else float(x.reshape(())) for name, x in arrays.items()
        }
        return cls(**values)
