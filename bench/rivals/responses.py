"""The answer of every rival: the same full verdict, computed by the service's `models` functions."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from models.features.columns import from_readings
from models.features.frame import compute
from models.scorer import Scorer
from readings.parsing import decode_json, parse_reading
from readings.reading import Reading
from settings import Costs

ROOT = Path(__file__).resolve().parents[2]
# `full`, or `probability` for the rivals of the second table.
ANSWER = os.environ.get("BENCH_ANSWER", "full")


class Answerer:
    """The models, loaded in this process."""

    def __init__(self) -> None:
        costs = Costs("USD", 250.0, 120.0, 600.0, 12.0, 1.6, 2.0, 48.0)
        self.scorer = Scorer.load(ROOT / "models" / "versions", costs)
        if os.environ.get("BENCH_MODEL") == "scikit-learn":
            self._use_scikit_learn()
        self.verdicts([self.reading(orjson.dumps(_WARM))])

    def reading(self, raw: bytes) -> Reading:
        """Parse a request body. Raises `InvalidReading`, as the service does."""
        return parse_reading(decode_json(raw)["metrics"], now=datetime.now(UTC), pointer="/metrics")

    def verdicts(self, readings: Sequence[Reading]) -> list[bytes]:
        """Return the verdict of each reading as JSON."""
        return [orjson.dumps(verdict) for verdict in self._verdicts(readings)]

    def _verdicts(self, readings: Sequence[Reading]) -> list[dict[str, Any]]:
        if ANSWER == "probability":
            model = self.scorer._failure
            columns, rows = from_readings(readings, None, model.spec.code_columns)
            curves = model.probabilities(compute(columns, model.spec, rows))
            return [{"failure_probability": round(float(curve[-1]), 6)} for curve in curves]
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        verdicts = self.scorer.score("failure", readings)
        return [
            verdict
            | {"tenant_id": None, "timestamp": now, "cached": False, "degraded": False}
            | {"fingerprint": reading.fingerprint()}
            for verdict, reading in zip(verdicts, readings, strict=True)
        ]

    def _use_scikit_learn(self) -> None:
        """Use trees of the same number and size in scikit-learn itself, without export.

        scikit-learn has no contributions. Those come from the ONNX graph here too, for 1 % of the time.
        """
        import numpy as np
        from sklearn.ensemble import HistGradientBoostingClassifier

        failure = self.scorer._failure
        random = np.random.default_rng(0)
        rows = random.normal(size=(4000, failure.session.width))
        horizons = len(failure.horizons)
        models = [
            HistGradientBoostingClassifier(max_iter=200, max_leaf_nodes=15, early_stopping=False).fit(
                rows, rows[:, column] + random.normal(size=len(rows)) > 1
            )
            for column in range(horizons)
        ]

        class Session:
            width = failure.session.width

            def run(self, frame: Any) -> Any:
                raw = failure.session.run(frame)
                raw[:, :horizons] = np.stack([model.decision_function(frame) for model in models], axis=1)
                return raw

        self.scorer._failure = dataclasses.replace(failure, session=Session())  # type: ignore[arg-type]


_WARM = {"metrics": {"charger_id": "WARM", "connector_status": "CHARGING"}}
