"""Readings as a caller could write them, byte for byte: any JSON in every field of the contract.

Text and not values, so that escapes, duplicate names, long numbers and any depth occur as they are sent.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from readings.reading import BOUNDS, OCPP_STATUSES, STATUSES

# On both sides of each limit: 32 levels of metadata, 254 that orjson writes, 1,024 that it reads.
DEPTHS: Final = (1, 2, 31, 32, 33, 34, 62, 63, 64, 65, 253, 254, 255, 256, 990, 1023, 1024, 1025, 5000)


class RawReading(NamedTuple):
    """Names and the JSON text of their values, in the order in which they are written."""

    fields: tuple[tuple[str, str], ...]

    @property
    def document(self) -> bytes:
        members = (f"{json.dumps(name)}:{text}" for name, text in self.fields)
        return ("{" + ",".join(members) + "}").encode()

    @property
    def last(self) -> dict[str, str]:
        """The text that counts for each name."""
        return dict(self.fields)


def _nested(parts: tuple[int, str, str, str]) -> str:
    levels, opening, inner, place = parts
    one, two = ('{"a":', "}") if opening == "{" else (f"[{place}", "]")
    return one * levels + inner + two * levels


# What stands between the quotes of a JSON string.
PIECES: Final = st.one_of(
    st.sampled_from(
        [
            *(
                r"\ud800",
                r"\udfff",
                r"\ud83d\ude00",
                r"\ude00\ud83d",
                r"\u0000",
                r"\u202e",
                r"\u2028",
                r"\ufeff",
            ),
            *(
                "‮",
                "‏",
                "\u2028",
                "é",
                "😀",
                "\x7f",
                "\ufeff",
                r"\n",
                r"\r",
                r"\t",
                r"\"",
                r"\\",
                "'",
                ";",
                ",",
            ),
            *(" ", "\u00a0", "=1+1", "[", "]", "{", "}", "NoError", "null", "NaN", "GroundFailure", "EVZ-1"),
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=8),
)
STRINGS: Final = st.one_of(
    st.lists(PIECES, max_size=4).map(lambda pieces: '"' + "".join(pieces) + '"'),
    st.tuples(PIECES, st.sampled_from([64, 127, 128, 129, 256, 16_380, 40_000])).map(
        lambda parts: '"' + parts[0] * (parts[1] // max(1, len(parts[0])) + 1) + '"'
    ),
)
NUMBERS: Final = st.one_of(
    st.integers().map(str),
    st.sampled_from([2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1]).map(str),
    st.sampled_from([19, 20, 21, 308, 309, 310, 400, 4299, 4300, 4301, 5000]).map(lambda n: "9" * n),
    st.sampled_from(
        ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "-0", "-0.0", "5e-324", "1E+2"]
    ),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
LITERALS: Final = st.sampled_from(["null", "true", "false"])
# Not JSON at all.
BROKEN: Final = st.sampled_from(
    ["", "nul", "'a'", '"', '"\t"', "[1,]", '{"a"}', "01", "+1", "]", "\\ud800", "[" * 2000]
)
DEEP: Final = st.tuples(
    st.sampled_from(DEPTHS),
    st.sampled_from("[{"),
    st.one_of(LITERALS, NUMBERS, STRINGS),
    st.sampled_from(["", "0,"]),
).map(_nested)


def _object(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{name}:{value}" for name, value in members) + "}"


LEAVES: Final = st.one_of(LITERALS, NUMBERS, STRINGS)
SMALL: Final = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda members: "[" + ",".join(members) + "]"),
        st.lists(st.tuples(st.one_of(st.just('"a"'), STRINGS), inner), max_size=3).map(_object),
    ),
    max_leaves=6,
)
ANYTHING: Final = st.one_of(SMALL, LEAVES, DEEP)
COST_NAMES: Final = (
    "visit",
    "parts_failure",
    "currency",
    "emergency_factor",
    "maintenance_interval_days",
    "note",
)
COSTS: Final = st.one_of(
    st.lists(
        st.tuples(
            st.sampled_from(COST_NAMES).map(json.dumps),
            st.one_of(st.floats(0, 1e6).map(repr), st.just('"EUR"'), ANYTHING),
        ),
        max_size=4,
    ).map(_object),
    ANYTHING,
)
METADATA: Final = st.one_of(
    st.lists(
        st.one_of(
            st.tuples(st.just('"costs"'), COSTS),
            st.tuples(st.one_of(st.just('"site"'), STRINGS), ANYTHING),
        ),
        max_size=3,
    ).map(_object),
    ANYTHING,
)
CODES: Final = st.one_of(
    st.lists(st.one_of(st.sampled_from(['"HighTemperature"', '"NoError"']), STRINGS), max_size=4).map(
        lambda codes: "[" + ",".join(codes) + "]"
    ),
    st.sampled_from([127, 128, 129, 5000]).map(lambda n: "[" + ",".join(['"E"'] * n) + "]"),
    ANYTHING,
)
MOMENTS: Final = [
    '"2026-01-05T10:00:00Z"',
    '"2026-01-05"',
    '"2026-01-05t10:00:00.123456+02:00"',
    '"1970-01-01T00:00:00Z"',
]

ORDINARY: Final[dict[str, st.SearchStrategy[str]]] = {
    "charger_id": st.sampled_from(['"EVZ-1"', '"A*|@"', '"\\u0041"', '"' + "x" * 128 + '"']),
    "connector_status": st.sampled_from(
        [json.dumps(status) for status in (*STATUSES, *OCPP_STATUSES, "fully charged")]
    ),
    **{
        name: st.one_of(
            st.floats(*bounds).map(repr) if name != "total_sessions" else st.integers(0, 10**9).map(str),
            st.sampled_from([repr(float(bound)) for bound in bounds]),
        )
        for name, bounds in BOUNDS.items()
    },
    "error_codes": st.sampled_from(['["HighTemperature"]', "[]", '["NoError"," "]', '["\\u0000","‮","😀"]']),
    "last_maintenance": st.sampled_from(MOMENTS),
    "timestamp": st.sampled_from([*MOMENTS, "1767607200", "1767607200.25"]),
    "metadata": st.just("{}"),
}
STRANGE: Final[dict[str, st.SearchStrategy[str]]] = dict.fromkeys(ORDINARY, ANYTHING) | {
    "error_codes": CODES,
    "metadata": METADATA,
    "firmware": ANYTHING,
}


@st.composite
def raw_readings(draw: st.DrawFn) -> RawReading:
    """Mostly an ordinary reading with something strange in a few places, in any order, some names twice."""
    left_out = draw(st.sets(st.sampled_from(sorted(set(ORDINARY) - {"charger_id", "connector_status"}))))
    fields: list[tuple[str, Any]] = [
        (name, draw(ordinary)) for name, ordinary in ORDINARY.items() if name not in left_out
    ]
    for name in draw(st.lists(st.sampled_from(["metadata", *STRANGE]), max_size=3)):
        fields.insert(draw(st.integers(0, len(fields))), (name, draw(STRANGE[name])))
    if draw(st.integers(0, 50)) == 50:
        name = draw(st.sampled_from(sorted(STRANGE)))
        fields.append((name, draw(BROKEN)))
    return RawReading(tuple(fields))
