"""`docs/owasp.md`: the OWASP API Security Top 10 with the tests that show a defence.

`make owasp` writes it from the markers `@pytest.mark.owasp("API4", "short clause")` in the sources. So it
names no defence that no test shows.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDERS: Final = ("tests", "clients/python/tests")
# https://owasp.org/API-Security/editions/2023/en/0x11-t10/
RISKS: Final = {
    "API1": "Broken object level authorization",
    "API2": "Broken authentication",
    "API3": "Broken object property level authorization",
    "API4": "Unrestricted resource consumption",
    "API5": "Broken function level authorization",
    "API6": "Unrestricted access to sensitive business flows",
    "API7": "Server side request forgery",
    "API8": "Security misconfiguration",
    "API9": "Improper inventory management",
    "API10": "Unsafe consumption of APIs",
}
HEAD: Final = """\
# OWASP API Security Top 10

The risks of the [edition of 2023](https://owasp.org/API-Security/editions/2023/en/0x11-t10/), each with the
tests that show a defence. `make owasp` generates this page from markers of the tests, so it claims nothing
that no test shows. [threats.md](threats.md) names the risks that remain.

| risk | shown by a test | test |
|---|---|---|
"""


class Shown(NamedTuple):
    """A defence against a risk, and the file of the test that shows it."""

    risk: str
    clause: str
    file: str


def marked(source: str, file: str) -> Iterator[Shown]:
    """Yield the markers in a test's source. Raises `ValueError` for one that this page cannot show."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.owasp"):
            continue
        match node.args:
            case [ast.Constant(value=str(risk)), ast.Constant(value=str(clause))] if risk in RISKS and clause:
                yield Shown(risk, clause, file)
            case _:
                raise ValueError(f"{file}:{node.lineno}: must be a risk like API4, and a clause")


def found() -> list[Shown]:
    """Return all markers, without repetitions, in the order of the risks, files and lines."""
    markers: dict[Shown, None] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("test_*.py")):
            markers.update(dict.fromkeys(marked(path.read_text(), path.relative_to(ROOT).as_posix())))
    return sorted(markers, key=lambda each: list(RISKS).index(each.risk))


def page(markers: list[Shown]) -> str:
    """Return the page."""
    rows = []
    for risk, name in RISKS.items():
        title = f"**{risk}** {name}"
        shown = [each for each in markers if each.risk == risk]
        if not shown:
            rows.append(f"| {title} | no test yet | |")
        for number, each in enumerate(shown):
            link = f"[{Path(each.file).name}](../{each.file})"
            rows.append(f"| {'' if number else title} | {each.clause.replace('|', chr(92) + '|')} | {link} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page(found()))
