"""Manifest entries shared by all models: data, libraries, golden readings. Offline only."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from typing import Any

import numpy as np
import onnx
import onnxruntime
import sklearn

from models.features.columns import Columns, Ints, columns_from_manifest, columns_to_manifest
from models.features.frame import FeatureSpec, Frame, compute
from models.training.history import History
from models.training.sampling import Rows
from readings.reading import rfc3339


def described(history: History) -> dict[str, Any]:
    """Manifest entries on the training data and the library versions."""
    columns = history.columns
    first, last = (
        datetime.fromtimestamp(float(t), UTC) for t in (columns.time_s.min(), columns.time_s.max())
    )
    # Reproducible builds set their time (reproducible-builds.org/docs/source-date-epoch).
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return {
        "trained_at": rfc3339(now),
        "training_data": {
            "readings": len(columns),
            "chargers": len(history.charger_ids),
            "failures": len(history.failures.charger),
            "maintenance": len(history.maintenance.charger),
            "from": rfc3339(first),
            "to": rfc3339(last),
            "absent_columns": list(history.absent),
        },
        "libraries": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    }


def golden_of(history: History, rows: Rows) -> dict[str, Any]:
    """Six readings with up to 40 readings before each, spread evenly over the sample."""
    picked = rows.index[np.linspace(0, len(rows.index) - 1, 6).astype(np.int64)]
    parts: list[Ints] = []
    at: list[int] = []
    number: list[int] = []
    for row in picked.tolist():
        start = max(row - 40, int(np.searchsorted(history.columns.charger, history.columns.charger[row])))
        number.extend([len(parts)] * (row - start + 1))
        parts.append(np.arange(start, row + 1))
        at.append(sum(map(len, parts)) - 1)
    index = np.concatenate(parts)
    taken = {name: getattr(history.columns, name)[index] for name in Columns.__dataclass_fields__}
    taken["charger"] = np.array(number, np.int64)
    return {"columns": columns_to_manifest(Columns(**taken)), "rows": at}


def golden_frame(golden: dict[str, Any], spec: FeatureSpec) -> Frame:
    """The frame of a manifest's golden rows [rows, features]."""
    return compute(columns_from_manifest(golden["columns"]), spec, np.array(golden["rows"], np.int64))
