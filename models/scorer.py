"""The active model versions of a process: load, check, score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import numpy as np

from errors import ModelRefused, ScoringFailed, ServiceError, UnknownModel
from models import maintenance, registry, tree_shap
from models.anomaly import FEATURES as ANOMALY_FEATURES
from models.anomaly import AnomalyModel
from models.calibration import Calibration
from models.costs import CostPolicy
from models.failure import FailureModel, Horizon
from models.features.columns import Floats, Histories, columns_from_manifest
from models.features.frame import FeatureSpec, Frame, compute
from models.onnx_session import Session
from models.quiet_hours import quiet_hours
from models.scoring_batch import Batch
from readings.reading import KINDS, Kind, Reading

if TYPE_CHECKING:
    from settings import Costs

Model = TypeVar("Model")
GOLDEN_TOLERANCE: Final = 1e-5
# The manifest entries that `Scorer.info` shows.
_SHOWN: Final = ("type", "trained_at", "trained_on", "metrics")


@dataclass(frozen=True, slots=True)
class Refused:
    """An active version that cannot serve, and the reason. `version` is None if no version is active."""

    version: str | None
    problem: str


@dataclass(frozen=True, slots=True)
class Part:
    """A checked model with its manifest.

    `file_times` are those of the active version before it was read; None if this one was not the active one.
    `refused` is the active version in whose place this one serves.
    """

    model: FailureModel | AnomalyModel
    manifest: dict[str, Any]
    file_times: registry.FileTimes | None
    refused: Refused | None = None


class Scorer:
    """Checked failure and anomaly models. Immutable and thread-safe.

    A reload creates a new `Scorer`, so that no batch is scored by two versions.
    """

    def __init__(self, parts: Mapping[str, Part], costs: Costs) -> None:
        self.parts = parts
        self._failure = cast(FailureModel, parts["failure"].model)
        self._anomaly = cast(AnomalyModel, parts["anomaly"].model)
        self._policy = CostPolicy(costs, self._failure.base_30d)
        self.versions: dict[str, str] = {
            "failure": self._failure.version,
            "maintenance": maintenance.version(self._policy, self._failure.version),
            "anomaly": self._anomaly.version,
        }

    @classmethod
    def load(cls, model_dir: Path, costs: Costs) -> Scorer:
        """Load the active versions. Raises `ModelRefused` with the reason if one of them cannot serve."""
        return cls({name: active_part(model_dir, name) for name in registry.NAMES}, costs)

    def is_active(self, model_dir: Path) -> bool:
        """Whether these versions are still the active ones, and their files unchanged since they were loaded.

        False if an active version was refused, or if no version is active.
        """
        try:
            return all(
                part.refused is None and registry.file_times(model_dir, name) == part.file_times
                for name, part in self.parts.items()
            )
        except ModelRefused:
            return False

    @property
    def refused(self) -> list[Refused]:
        """The active versions in whose place others serve."""
        return [part.refused for part in self.parts.values() if part.refused is not None]

    def has_models_of(self, other: Scorer) -> bool:
        """Whether the models are the same objects in memory, whichever versions are active."""
        return all(part.model is other.parts[name].model for name, part in self.parts.items())

    def score(
        self,
        kind: Kind,
        readings: Sequence[Reading],
        histories: Histories | None = None,
        *,
        scored_at: float | None = None,
    ) -> list[dict[str, Any]]:
        """`verdicts` for readings that are scored for one kind only."""
        return self.verdicts(kind, Batch(readings, histories, scored_at=scored_at))

    def verdicts(self, kind: Kind, batch: Batch) -> list[dict[str, Any]]:
        """One verdict per reading, in order.

        The result depends only on versions, costs, readings and histories, and the dates of schedules on
        `batch.scored_at` too. Raises `ScoringFailed`, and `UnknownModel` for an unknown kind.
        """
        if kind not in KINDS:
            raise UnknownModel(f"{kind}: no such model, there are {', '.join(KINDS)}")
        if not batch.readings:
            return []
        try:
            verdicts = self._verdicts(kind, batch)
        except ServiceError:
            raise
        except Exception as error:  # numpy may raise anything for unforeseen values
            raise ScoringFailed(f"{kind}: {type(error).__name__}: {error}") from error
        if len(verdicts) != len(batch.readings):
            raise ScoringFailed(
                f"{len(batch.readings)} readings went in and {len(verdicts)} verdicts came out"
            )
        return verdicts

    def _verdicts(self, kind: Kind, batch: Batch) -> list[dict[str, Any]]:
        readings = batch.readings
        if kind == "anomaly":
            anomalies = self._anomaly.score(
                readings, batch.frame(self._anomaly.spec), batch.raw(self._anomaly)
            )
            return cast(list[dict[str, Any]], anomalies)
        failures = self._failure.score(
            readings, batch.frame(self._failure.spec), batch.raw(self._failure), policy=self._policy
        )
        if kind == "failure":
            return cast(list[dict[str, Any]], failures)
        schedules = maintenance.schedules(
            readings,
            failures,
            quiet_hours(*batch.columns(self._failure.spec)),
            policy=self._policy,
            scored_at=batch.scored_at,
        )
        return cast(list[dict[str, Any]], schedules)

    def part(self, name: str) -> tuple[FailureModel | AnomalyModel, dict[str, Any]]:
        """A stored model (one of `registry.NAMES`) and its manifest."""
        return self.parts[name].model, self.parts[name].manifest

    def info(self) -> list[dict[str, Any]]:
        """One entry per model, for `GET /api/v1/models`."""
        described: list[dict[str, Any]] = []
        for kind in KINDS:
            part = self.parts["failure" if kind == "maintenance" else kind]
            manifest = part.manifest
            described.append(
                {
                    "name": kind,
                    "version": self.versions[kind],
                    "type": "cost policy over the failure curve"
                    if kind == "maintenance"
                    else manifest["type"],
                    "status": "active",
                    "trained_at": manifest["trained_at"],
                    "trained_on": manifest["trained_on"],
                    "metrics": {} if kind == "maintenance" else manifest["metrics"],
                    "features": list(ANOMALY_FEATURES)
                    if kind == "anomaly"
                    else manifest["features"]["names"],
                    "horizons": [] if kind == "anomaly" else list(manifest.get("horizons", {})),
                    "refused": asdict(part.refused) if part.refused else None,
                }
            )
        return described


def active_part(model_dir: Path, name: str) -> Part:
    """Load and check the active version of a model. Raises `ModelRefused` with the reason."""
    # Before the files are read, so that `Scorer.is_active` finds changes that are made meanwhile.
    file_times = registry.file_times(model_dir, name)
    return part_of(model_dir, name, registry.active_version(model_dir, name), file_times)


def part_of(model_dir: Path, name: str, version: str, file_times: registry.FileTimes | None) -> Part:
    """Load and check a version. Raises `ModelRefused` with the reason."""
    try:
        loaded = registry.load(model_dir, name, version)
    except UnknownModel as error:
        raise ModelRefused(str(error)) from None
    build = failure_model if name == "failure" else anomaly_model
    return Part(build(loaded), loaded.manifest, file_times)


def failure_model(version: registry.Version) -> FailureModel:
    """Build and check a failure version. Raises `ModelRefused` with the reason."""

    def build(manifest: dict[str, Any]) -> FailureModel:
        horizons = tuple(
            Horizon(
                float(raw["days"]),
                Calibration.from_manifest(raw["calibration"]["with_history"]),
                Calibration.from_manifest(raw["calibration"]["without_history"]),
                float(raw["faulty_shift"]),
            )
            for raw in manifest["horizons"].values()
        )
        confidence = manifest["confidence"]
        spec = FeatureSpec.from_manifest(manifest["features"])
        session = Session(version.files["model.onnx"], "raw")
        if session.targets != len(horizons) + len(spec.names):
            raise ModelRefused(
                f"model.onnx gives {session.targets} numbers for {len(horizons)} horizons and "
                f"{len(spec.names)} features"
            )
        mean_log_odds = manifest["mean_log_odds"]
        return FailureModel(
            version=version.version,
            spec=spec,
            session=session,
            horizons=horizons,
            mean_log_odds=(float(mean_log_odds["with_history"]), float(mean_log_odds["without_history"])),
            confidence=(np.array(confidence["probability"]), np.array(confidence["right"])),
            base_30d=float(manifest["base_rate"]["30d"]),
            shap=tree_shap.of_version(version.files, len(spec.names)),
        )

    model = _built(version, build)
    _check_golden(version, model.spec, model.session.width, len(model.spec.names), model.probabilities)
    return model


def anomaly_model(version: registry.Version) -> AnomalyModel:
    """Build and check an anomaly version. Raises `ModelRefused` with the reason."""

    def build(manifest: dict[str, Any]) -> AnomalyModel:
        if tuple(manifest["forest_features"]) != ANOMALY_FEATURES:
            raise ModelRefused(
                f"anomaly {version.version}: trained on other features than this release computes"
            )
        return AnomalyModel(
            version=version.version,
            spec=FeatureSpec.from_manifest(manifest["features"]),
            session=Session(version.files["model.onnx"], "score_samples"),
            median=np.array(manifest["median"], np.float64),
            spread=np.array(manifest["spread"], np.float64),
            scale=(np.array(manifest["scale"]["raw"]), np.array(manifest["scale"]["score"])),
        )

    model = _built(version, build)
    _check_golden(version, model.spec, model.session.width, len(ANOMALY_FEATURES), model.raw)
    return model


def _built(version: registry.Version, build: Callable[[dict[str, Any]], Model]) -> Model:
    label = f"{version.name} {version.version}"
    if missing := [name for name in _SHOWN if name not in version.manifest]:
        raise ModelRefused(f"{label}: the manifest has no {missing[0]}")
    try:
        return build(version.manifest)
    except ModelRefused as error:
        raise ModelRefused(str(error) if str(error).startswith(label) else f"{label}: {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, OSError, EOFError) as error:
        raise ModelRefused(
            f"{label}: the manifest or a file is incomplete ({type(error).__name__}: {error})"
        ) from None


def _check_golden(
    version: registry.Version,
    spec: FeatureSpec,
    width: int,
    expected_width: int,
    score: Callable[[Frame], Floats],
) -> None:
    """Score the manifest's golden readings, features included, and compare. Raises `ModelRefused`."""
    label = f"{version.name} {version.version}"
    if width != expected_width:
        raise ModelRefused(f"{label}: model.onnx wants {width} features, the manifest has {expected_width}")
    try:
        golden = version.manifest["golden"]
        columns = columns_from_manifest(golden["columns"])
        frame = compute(columns, spec, np.array(golden["rows"], np.int64))
        expected = np.array(golden["expected"], np.float64)
        scored = score(frame).reshape(expected.shape)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelRefused(f"{label}: its golden rows cannot be scored ({error})") from None
    if not len(expected) or not np.allclose(scored, expected, rtol=0, atol=GOLDEN_TOLERANCE):
        worst = float(np.abs(scored - expected).max(initial=0.0))
        raise ModelRefused(f"{label}: its golden rows score differently here (by up to {worst:.2g})")
