"""Load the active versions, and another one in place of one that cannot serve."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from errors import ModelRefused, ServiceError
from models import registry
from models.scorer import Part, Refused, Scorer, active_part, part_of

if TYPE_CHECKING:
    from settings import Costs


def load(model_dir: Path, costs: Costs, held: Scorer | None) -> Scorer:
    """Load the active version of each model. In place of one that cannot serve, another one serves.

    That is the one in memory (`held`), or else the one active before. `Scorer.refused` then has the reason.
    Models that have not changed are taken from `held`. Raises `ModelRefused` if a model has neither.
    """
    before = held.parts if held is not None else {}
    return Scorer({name: _part(model_dir, name, before.get(name)) for name in registry.NAMES}, costs)


def _part(model_dir: Path, name: str, held: Part | None) -> Part:
    version: str | None = None
    try:
        version = registry.active_version(model_dir, name)
        if held is not None and registry.file_times(model_dir, name) == held.file_times:
            return replace(held, refused=None)
        return active_part(model_dir, name)
    except (ServiceError, OSError) as error:
        refused = Refused(version, str(error))
    return replace(held or _previous(model_dir, name, refused), refused=refused)


def _previous(model_dir: Path, name: str, refused: Refused) -> Part:
    """The version that a rollback would make active. Raises `ModelRefused` with both reasons."""
    try:
        return part_of(model_dir, name, registry.previous_version(model_dir, name), None)
    except (ServiceError, OSError) as error:
        raise ModelRefused(f"{refused.problem}; {error}") from None
