"""`make audit` never says that nothing is known where nothing was asked."""

from __future__ import annotations

import json

import pytest

from settings import ROOT
from stack import audit
from stack.audit import (
    FOUND,
    LOCKS,
    NODE_PROJECTS,
    NOT_ASKED,
    Audit,
    exit_code,
    lines_of,
    read_npm_audit,
    read_pip_audit,
)

# As pip-audit 2.10 and npm 10 print them.
VULNERABILITY = {"id": "PYSEC-2014-8", "fix_versions": ["2.7.2"], "aliases": [], "description": ""}
PIP_FOUND = {"dependencies": [{"name": "jinja2", "version": "2.4.1", "vulns": [VULNERABILITY]}], "fixes": []}
PIP_NONE = {"dependencies": [{"name": "flask", "version": "3.1.0", "vulns": []}], "fixes": []}
PIP_SKIPPED = {
    "dependencies": [{"name": "jinja2", "skip_reason": "Dependency not found on PyPI"}],
    "fixes": [],
}
COUNTS = {"dependencies": {"prod": 1, "total": 700}}
LODASH = {"name": "lodash", "severity": "high", "range": "<=4.17.20", "via": [], "effects": []}
NPM_FOUND = {"auditReportVersion": 2, "vulnerabilities": {"lodash": LODASH}, "metadata": COUNTS}
NPM_NONE = {"auditReportVersion": 2, "vulnerabilities": {}, "metadata": COUNTS}
NPM_REFUSED = {"message": "405 Method Not Allowed - POST https://x/bulk", "statusCode": 405, "error": {}}


def test_vulnerabilities_are_found() -> None:
    found = [read_pip_audit("x", json.dumps(PIP_FOUND)), read_npm_audit("y", json.dumps(NPM_FOUND))]
    assert [line for each in found for line in lines_of(each)] == [
        "x: jinja2 2.4.1: PYSEC-2014-8, fixed in 2.7.2",
        "y: lodash <=4.17.20: high",
    ]
    assert exit_code(found) == exit_code([*found, Audit("z", problem="?")]) == FOUND


def test_that_nothing_is_known_is_said_where_all_was_asked() -> None:
    found = [read_pip_audit("x", json.dumps(PIP_NONE)), read_npm_audit("y", json.dumps(NPM_NONE))]
    assert [line for each in found for line in lines_of(each)] == [
        "x: no known vulnerabilities in 1 packages",
        "y: no known vulnerabilities in 700 packages",
    ]
    assert exit_code(found) == 0


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (read_pip_audit("x", json.dumps(PIP_SKIPPED)), "Dependency not found on PyPI"),
        (read_pip_audit("x", "", "WARNING: a\nConnectionError: no route\n"), "ConnectionError: no route"),
        (read_pip_audit("x", "[]", ""), "pip-audit gave no report"),
        (read_npm_audit("x", json.dumps(NPM_REFUSED)), "405 Method Not Allowed"),
        (read_npm_audit("x", "", "npm error audit endpoint returned an error\n"), "returned an error"),
        (read_npm_audit("x", "null", ""), "npm gave no report"),
    ],
)
def test_what_was_not_asked_is_not_called_safe(found: Audit, said: str) -> None:
    (line,) = lines_of(found)
    assert line.startswith("x: NOT AUDITED: ")
    assert said in line
    assert exit_code([Audit("y"), found]) == NOT_ASKED


@pytest.mark.parametrize("trial", [Audit("trial"), Audit("trial", problem="404")])
def test_a_registry_that_does_not_know_the_known_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trial: Audit
) -> None:
    monkeypatch.setattr(audit, "_vulnerable_python", lambda: trial)
    monkeypatch.setattr(audit, "_vulnerable_node", lambda: trial)
    assert audit.main() == NOT_ASKED
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(LOCKS) + len(NODE_PROJECTS)
    assert all("NOT AUDITED: " in line and "has no advisories here" in line for line in lines)


def test_every_lock_is_audited() -> None:
    locks = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("requirements*.txt")}
    assert locks < set(LOCKS)
    assert all((ROOT / name).is_file() for name in LOCKS)
    assert all((ROOT / name / "package-lock.json").is_file() for name in NODE_PROJECTS)
