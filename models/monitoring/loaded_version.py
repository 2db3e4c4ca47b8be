"""One stored model version for drift and shadow: frame and one score per reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models import registry
from models.anomaly import AnomalyModel
from models.failure import FailureModel
from models.features.columns import Floats, Histories, HistoryEntries, from_readings
from models.features.frame import Frame, compute
from models.scorer import Scorer, anomaly_model, failure_model
from readings.reading import Reading

# A scored reading, and the history it was scored with.
Seen = tuple[Reading, HistoryEntries]


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A loaded and checked version. `identity` also distinguishes contents under the same name."""

    name: str
    version: str
    identity: str
    model: FailureModel | AnomalyModel
    manifest: dict[str, Any]

    @classmethod
    def active(cls, scorer: Scorer, name: str) -> LoadedVersion:
        """The active version of a stored model."""
        model, manifest = scorer.part(name)
        return cls(name, model.version, registry.identity(manifest), model, manifest)

    @classmethod
    def load(cls, model_dir: Path, name: str, version: str) -> LoadedVersion:
        """Load another version. Raises `UnknownModel`, and `ModelRefused` with the reason."""
        loaded = registry.load(model_dir, name, version)
        model = failure_model(loaded) if name == "failure" else anomaly_model(loaded)
        return cls(name, version, registry.identity(loaded.manifest), model, loaded.manifest)

    def frame(self, readings: Sequence[Reading], history: Histories) -> Frame:
        """Features [n, features of this version], as used for verdicts."""
        columns, rows = from_readings(readings, history, self.model.spec.code_columns)
        return compute(columns, self.model.spec, rows)

    def scores(self, frame: Frame) -> Floats:
        """Scores [n] between 0 and 1: 30-day failure probability, or the forest's anomaly score / 100.

        Physical rules are not included, because they are the same for every version.
        """
        if isinstance(self.model, FailureModel):
            probability: Floats = self.model.probabilities(frame)[:, -1]
            return probability
        return np.interp(self.model.raw(frame), *self.model.scale) / 100
