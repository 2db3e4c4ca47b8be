"""Readings that are scored together, with shared intermediate results of several models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from errors import ScoringFailed
from models.features.columns import Columns, Floats, Histories, Ints, from_readings
from models.features.frame import FeatureSpec, Frame, compute

if TYPE_CHECKING:
    from models.anomaly import AnomalyModel
    from models.failure import FailureModel
    from models.onnx_session import Session
    from readings.reading import Reading


class Batch:
    """Readings with histories.

    `histories[i]` are readings of the same charger as `readings[i]`, in any order. Entries that are not older
    than their reading are ignored. `scored_at` is the time of scoring in epoch seconds, now if None. Use in
    one thread. Raises `ScoringFailed` if the numbers of histories and readings differ.
    """

    def __init__(
        self,
        readings: Sequence[Reading],
        histories: Histories | None = None,
        *,
        scored_at: float | None = None,
    ) -> None:
        if histories is not None and len(histories) != len(readings):
            raise ScoringFailed(f"{len(readings)} readings came with {len(histories)} histories")
        self.readings = readings
        self.scored_at: Final = time.time() if scored_at is None else scored_at
        self._histories = histories
        self._columns: dict[FeatureSpec, tuple[Columns, Ints]] = {}
        self._frames: dict[FeatureSpec, Frame] = {}
        self._raw: dict[Session, Floats] = {}

    def columns(self, spec: FeatureSpec) -> tuple[Columns, Ints]:
        """The readings and their histories as columns, and the row of each reading."""
        if spec not in self._columns:
            self._columns[spec] = from_readings(self.readings, self._histories, spec.code_columns)
        return self._columns[spec]

    def frame(self, spec: FeatureSpec) -> Frame:
        """Features [n, features of `spec`]. Models with the same spec share it."""
        if spec not in self._frames:
            columns, rows = self.columns(spec)
            self._frames[spec] = compute(columns, spec, rows)
        return self._frames[spec]

    def raw(self, model: FailureModel | AnomalyModel) -> Floats:
        """The output of `model`'s graph for the frame. Each graph runs once per batch."""
        if model.session not in self._raw:
            self._raw[model.session] = model.raw(self.frame(model.spec))
        return self._raw[model.session]
