"""`python -m stack.audit`: ask for known vulnerabilities of every locked package.

pip-audit and `npm audit` ask the registries. A mirror may have no advisories, and both tools may then report
that there are none. So each registry is first asked about a package with known vulnerabilities.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "build" / "audit"
TOOL_LOCK: Final = "requirements-audit.txt"
LOCKS: Final = (
    *("requirements.txt", "requirements-serve.txt", "requirements-dev.txt"),
    *(TOOL_LOCK, "clients/node.txt"),
)
NODE_PROJECTS: Final = ("clients/nestjs",)
TIMEOUT_S: Final = 300
# Each has had published vulnerabilities for years.
VULNERABLE_PYTHON: Final = "jinja2==2.4.1\n"
VULNERABLE_NODE: Final = ("lodash", "4.17.15")

FOUND, NOT_ASKED = 1, 2  # exit codes


@dataclass(frozen=True, slots=True)
class Audit:
    """The vulnerabilities of one lock file, a line each. `problem`: why a package was not asked about."""

    lock: str
    found: list[str] = field(default_factory=list)
    problem: str = ""
    packages: int = 0


def main() -> int:
    """Audit all lock files, print a line for each. Blocks for minutes. Returns the exit code."""
    audits = [
        *_audited(LOCKS, _pip_audit, _vulnerable_python, "PyPI"),
        *_audited(NODE_PROJECTS, _npm_audit, _vulnerable_node, "the npm registry"),
    ]
    for audit in audits:
        print("\n".join(lines_of(audit)))
    return exit_code(audits)


def lines_of(audit: Audit) -> list[str]:
    """Return the lines of a report."""
    lines = [f"{audit.lock}: {each}" for each in audit.found]
    if audit.problem:
        lines.append(f"{audit.lock}: NOT AUDITED: {audit.problem}")
    elif not lines:
        lines.append(f"{audit.lock}: no known vulnerabilities in {audit.packages} packages")
    return lines


def exit_code(audits: list[Audit]) -> int:
    """Return 1 if a vulnerability was found, otherwise 2 if a package was not asked about, otherwise 0."""
    if any(audit.found for audit in audits):
        return FOUND
    return NOT_ASKED if any(audit.problem for audit in audits) else 0


def read_pip_audit(lock: str, text: str, complaint: str = "") -> Audit:
    """Read the JSON of pip-audit. `complaint` is its standard error, for output that is none."""
    try:
        packages: list[dict[str, Any]] = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Audit(lock, problem=_last_line(complaint) or "pip-audit gave no report")
    found = [
        f"{package['name']} {package['version']}: {vulnerability['id']}, "
        f"fixed in {', '.join(vulnerability['fix_versions']) or 'no release'}"
        for package in packages
        for vulnerability in package.get("vulns", [])
    ]
    skipped = [package for package in packages if "skip_reason" in package]
    reasons = [str(package["skip_reason"]) for package in skipped[:1]]
    if len(skipped) > 1:
        reasons.append(f"and {len(skipped) - 1} packages more")
    return Audit(lock, found, "; ".join(reasons), len(packages))


def read_npm_audit(project: str, text: str, complaint: str = "") -> Audit:
    """Read the JSON of `npm audit`. `complaint` is its standard error, for output that is none."""
    try:
        report: dict[str, Any] = json.loads(text)
        if "vulnerabilities" not in report:
            return Audit(project, problem=str(report.get("message") or report.get("error")))
        found = [
            f"{name} {each['range']}: {each['severity']}"
            for name, each in sorted(report["vulnerabilities"].items())
        ]
        return Audit(project, found, packages=report["metadata"]["dependencies"]["total"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return Audit(project, problem=_last_line(complaint) or "npm gave no report")


def _audited(
    names: tuple[str, ...], audit: Callable[[str], Audit], known: Callable[[], Audit], registry: str
) -> list[Audit]:
    """Audit each, unless the registry does not even report what is known."""
    try:
        trial = known()
    except (OSError, subprocess.SubprocessError) as error:
        return [Audit(name, problem=str(error)) for name in names]
    if not trial.found:
        reason = f" ({trial.problem})" if trial.problem else ""
        return [Audit(name, problem=f"{registry} has no advisories here{reason}") for name in names]
    return [audit(name) for name in names]


def _vulnerable_python() -> Audit:
    _install_tool()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text(VULNERABLE_PYTHON)
        return _pip_audit(str(file), "--no-deps")


def _pip_audit(lock: str, *options: str) -> Audit:
    command = [f"{FOLDER}/bin/pip-audit", "--disable-pip", *(options or ("--require-hashes",))]
    done = _run([*command, "--format", "json", "--progress-spinner", "off", "-r", lock], ROOT)
    return read_pip_audit(lock, done.stdout, done.stderr)


def _install_tool() -> None:
    """Install pip-audit into an environment of its own. Raises `CalledProcessError` where pip fails."""
    mark, wanted = FOLDER / "installed", (ROOT / TOOL_LOCK).read_text()
    if mark.is_file() and mark.read_text() == wanted:
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    venv.create(FOLDER, with_pip=True)
    pip = [f"{FOLDER}/bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    lock = ["--require-hashes", "--only-binary", ":all:", "-r", str(ROOT / TOOL_LOCK)]
    subprocess.run([*pip, *lock], check=True, timeout=TIMEOUT_S)
    mark.write_text(wanted)


def _vulnerable_node() -> Audit:
    name, version = VULNERABLE_NODE
    root = {"name": "trial", "version": "1.0.0", "dependencies": {name: version}}
    packages = {"": root, f"node_modules/{name}": {"version": version}}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "package.json").write_text(json.dumps(root | {"private": True}))
        lock = {**root, "lockfileVersion": 3, "requires": True, "packages": packages}
        (Path(folder) / "package-lock.json").write_text(json.dumps(lock))
        return _npm_audit(folder)


def _npm_audit(project: str) -> Audit:
    command = [sys.executable, str(ROOT / "clients" / "node.py"), "npm", "audit", "--json"]
    done = _run([*command, "--package-lock-only"], ROOT / project)
    return read_npm_audit(project, done.stdout, done.stderr)


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


if __name__ == "__main__":
    sys.exit(main())
