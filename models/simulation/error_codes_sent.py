"""Error codes that a simulated fleet reports in one step, as bit masks over `CODES`. Offline only."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.features.columns import Bools, Floats, Ints
from models.simulation import assumptions as facts
from models.simulation.assumptions import Assumptions

CODES: Final = tuple(sorted(set(facts.ALL_CODES)))
_CODE_INDEX: Final = {code: index for index, code in enumerate(CODES)}
_N: Final = len(facts.COMPONENTS)
_COOLING, _GROUND = 3, 6


def draw(
    rng: np.random.Generator,
    assumed: Assumptions,
    *,
    trouble: Floats,
    down: Bools,
    down_component: Ints,
    transient: Bools,
    hot: Bools,
    nuisance_share: float,
) -> Ints:
    """Draw the codes of each charger.

    Args: `trouble` [n, components] is from 0 to 1. `down` [n]: failed with a visible fault, by
    `down_component` [n]. `transient` [n]: in a transient fault. `hot` [n]: above the connector's limit.
    `nuisance_share` is the share of chargers with a nuisance ground-fault trip. Returns: masks [n]; bit i
    stands for `CODES[i]`.
    """
    n = len(trouble)
    mask = np.zeros(n, np.int64)

    def send(who: Bools, component: Ints) -> None:
        for index in np.flatnonzero(who):
            codes = facts.SYMPTOM_CODES[int(component[index])]
            mask[index] |= 1 << _CODE_INDEX[codes[int(rng.integers(len(codes)))]]

    wrong = rng.random(n) < assumed.misleading_share
    anything = rng.integers(_N, size=n)
    for component in range(_N):
        sends = rng.random(n) < assumed.code_probability * trouble[:, component]
        send(sends, np.where(wrong, anything, component))
    told = rng.random(n) >= assumed.code_missing_share
    send(down & told, np.where(wrong, anything, down_component))
    send(transient & told, np.where(wrong, anything, trouble.argmax(axis=1)))
    send(hot & (rng.random(n) < 0.7), np.full(n, _COOLING))
    send(rng.random(n) < nuisance_share, np.full(n, _GROUND))
    for index in np.flatnonzero(rng.random(n) < assumed.code_noise):
        code = facts.NOISE_CODES[int(rng.integers(len(facts.NOISE_CODES)))]
        mask[index] |= 1 << _CODE_INDEX[code]
    return mask


def codes_of(mask: int) -> str:
    """The codes of one mask, joined by semicolons."""
    return ";".join(code for index, code in enumerate(CODES) if mask >> index & 1)
