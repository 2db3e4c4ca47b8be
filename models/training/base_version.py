"""Begin a version from another one, whose log-odds own data correct as far as they carry. Offline only.

The log-odds of both are added, each times a share. The shares are fitted on held-out rows. So the base counts
for much where own failures are few, and for little where they are many. The sum is one graph of trees as
before, so that serving needs no special case (docs/adr/0025-first-month.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.optimize import minimize

from models import registry
from models.calibration import sigmoid
from models.failure import FailureModel
from models.features.columns import Floats, Ints
from models.features.frame import FeatureSpec, Frame
from models.horizon_days import HORIZON_NAMES
from models.scorer import failure_model
from models.training import onnx_export, onnx_trees
from models.training.cross_validation import KINDS, OutOfFold
from models.training.labels import UNKNOWN
from models.training.sampling import Rows, bare_of
from models.tree_shap import LEAF, Trees

EQUAL: Final = np.array([0.5, 0.5])  # shares of base and own trees before any evidence
HELD_TO_EQUAL: Final = 10.0  # weight of these, in failures
MIN_SHARE: Final = 0.05  # a base that counts for less only costs time
WITHOUT: Final = "none"
COVER_ROWS: Final = 20_000  # that the base's nodes are counted on
SHIPPED_VERSIONS: Final = Path(__file__).resolve().parents[1] / "versions"


@dataclass(frozen=True, slots=True)
class BaseVersion:
    """The version that another one begins from, with its graph."""

    model: FailureModel
    graph: bytes
    manifest: dict[str, Any]

    @classmethod
    def load(cls, model_dir: Path, version: str) -> BaseVersion:
        """A stored version. Raises `UnknownModel` or `ModelRefused`, also if no version can begin from it."""
        loaded = registry.load(model_dir, "failure", version)
        model, graph = failure_model(loaded), loaded.files["model.onnx"]
        onnx_trees.trees_of(graph, model.spec.first_history)
        return cls(model, graph, loaded.manifest)

    def features(self, spec: FeatureSpec) -> Ints:
        """The columns of `spec` that hold this version's features. `spec` must name all its codes."""
        return np.array([spec.names.index(name) for name in self.model.spec.names], np.int64)

    def raw(self, frame: Frame, spec: FeatureSpec) -> Floats:
        """Log-odds and contributions [n, horizons + features] of rows with the features of `spec`."""
        return self.model.raw(frame[:, self.features(spec)])


def find(model_dir: Path, version: str) -> BaseVersion | None:
    """The version to begin from, of `model_dir` or else of the shipped ones; None for `WITHOUT`.

    Raises `UnknownModel` or `ModelRefused`.
    """
    if version == WITHOUT:
        return None
    here = version in registry.versions(model_dir, "failure")
    return BaseVersion.load(model_dir if here else SHIPPED_VERSIONS, version)


@dataclass(frozen=True, slots=True)
class Shares:
    """What the log-odds of base and own trees are multiplied by, [2 kinds, horizons] each."""

    base: Floats
    own: Floats

    def to_manifest(self, version: str) -> dict[str, Any]:
        """The manifest's `from_version`."""
        return {"version": version} | {
            f"{name}_share": {
                kind.replace(" ", "_"): dict(zip(HORIZON_NAMES, values, strict=False))
                for kind, values in zip(KINDS, share.tolist(), strict=True)
            }
            for name, share in (("base", self.base), ("own", self.own))
        }


def corrected(
    out_of_fold: OutOfFold, base: BaseVersion, spec: FeatureSpec, which: Any
) -> tuple[OutOfFold, Shares]:
    """The sum of the base's and the own log-odds, by shares that are fitted on the rows of `which`."""
    rows = out_of_fold.rows
    count = len(rows.labels)
    shares = Shares(np.zeros((2, count)), np.ones((2, count)))
    sums: list[Floats] = []
    for kind, own in enumerate((out_of_fold.raw, out_of_fold.raw_bare)):
        frame = bare_of(rows, spec).frame if kind else rows.frame
        theirs = base.raw(frame, spec)[:, :count].astype(np.float64)
        for column in range(count):
            known = which & (rows.labels[column] != UNKNOWN)
            pair = np.column_stack([theirs[known, column], own[known, column]])
            found = _fitted(pair, rows.take(known), column)
            if found[0] >= MIN_SHARE:
                shares.base[kind, column], shares.own[kind, column] = found
        sums.append(theirs * shares.base[kind] + own * shares.own[kind])
    return replace(out_of_fold, raw=sums[0], raw_bare=sums[1]), shares


def _fitted(pair: Floats, rows: Rows, column: int) -> Floats:
    """Shares of the two log-odds `pair` [n, 2] by maximum likelihood, held to equal ones, none below 0.

    Rows weigh what their failures do, as for calibration: sixty readings before a failure are one failure.
    """
    happened = rows.labels[column] == 1
    positive = float(rows.weight[happened].sum())
    if not positive:
        return EQUAL
    weight = rows.weight * (rows.failures(column) / positive)
    apart = pair - np.average(pair, axis=0, weights=weight)
    sign = np.where(happened, -1.0, 1.0)

    def loss(values: Floats) -> tuple[float, Floats]:
        odds = values[0] + apart @ values[1:]
        error = weight * (sigmoid(odds) - happened)
        off = values[1:] - EQUAL
        value = (weight * np.logaddexp(0.0, sign * odds)).sum() + HELD_TO_EQUAL * (off @ off) / 2
        return float(value), np.concatenate(([error.sum()], apart.T @ error + HELD_TO_EQUAL * off))

    bounds = [(None, None), (0.0, None), (0.0, None)]
    found: Floats = minimize(loss, np.array([-3.0, *EQUAL]), jac=True, method="L-BFGS-B", bounds=bounds).x
    return found[1:]


def means(base: BaseVersion, rows: Rows, spec: FeatureSpec) -> tuple[Floats, Floats]:
    """The base's mean output [horizons + features] on the rows with history, and without it."""
    with_history, without = (
        np.average(base.raw(frame, spec).astype(np.float64), axis=0, weights=rows.weight)
        for frame in (rows.frame, bare_of(rows, spec).frame)
    )
    return with_history, without


def trees(
    base: BaseVersion, shares: Shares, taught_by: Sequence[int], mean: Sequence[Floats], spec: FeatureSpec
) -> list[onnx_export.Tree]:
    """The base's trees on the features of `spec`, times its shares.

    `taught_by` are the horizons of the outputs. Contributions become those against the mean row of this
    fleet (`means`). What all its chargers have in common is then no reason.
    """
    factors = np.zeros((2, len(HORIZON_NAMES)))
    factors[:, : shares.base.shape[1]] = shares.base
    features = base.features(spec)
    moves = onnx_trees.Moves(features, taught_by, factors)
    usual = [
        {
            len(taught_by) + int(column): -float(credit) * float(factors[kind, taught_by[-1]])
            for column, credit in zip(features, mean[kind][len(HORIZON_NAMES) :], strict=True)
        }
        for kind in (0, 1)
    ]
    found = onnx_trees.trees_of(base.graph, base.model.spec.first_history)
    return [
        *(onnx_trees.moved(tree, moves) for tree in found),
        onnx_export.fork(spec.first_history, *(onnx_export.stump(weights) for weights in usual)),
    ]


def explained(
    base: BaseVersion, shares: Shares, horizon: int, rows: Rows, spec: FeatureSpec
) -> tuple[Trees, Trees]:
    """The base's trees of a horizon for contributions against the mean of `rows`: with history, without.

    On features of `spec`, times the base's share.
    """
    features = base.features(spec)
    some = np.arange(0, len(rows.index), max(1, len(rows.index) // COVER_ROWS))
    found = onnx_trees.trees_of(base.graph, base.model.spec.first_history)
    with_history, without = (
        onnx_trees.explained(
            [onnx_trees.of_kind(tree, without_history=bool(kind)) for tree in found],
            horizon,
            float(shares.base[kind, horizon]),
            frame[some][:, features],
            rows.weight[some],
        )
        for kind, frame in enumerate((rows.frame, bare_of(rows, spec).frame))
    )
    return _on(with_history, features), _on(without, features)


def _on(trees: Trees, features: Ints) -> Trees:
    return trees._replace(feature=np.where(trees.feature == LEAF, LEAF, features[trees.feature]))
