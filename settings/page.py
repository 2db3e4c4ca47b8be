"""`python -m settings.page` prints `docs/settings.md`: name, default, limits and meaning of every setting.

Names, defaults and limits come from `settings/environment.py`, so that the page cannot contradict them. The
meanings are in `settings/meanings.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from marshmallow import validate

from errors import SettingsInvalid
from settings import environment
from settings.checks import MIN_WEB_THREADS
from settings.meanings import DEFAULTS_IN_WORDS, SECTIONS
from settings.secret_files import SECRETS

_INTRODUCTION: Final = """\
# Settings

<!-- Generated: `.venv/bin/python -m settings.page > docs/settings.md`. A test compares the two. -->

Every setting is an environment variable. A process reads the environment and the file `.env` in the project's
folder; the environment wins. `make run` writes a `.env` with random secrets if there is none. `.env.example`
lists the same settings as a file to copy from.

Each process checks all settings when it starts. A wrong one ends the process with exit code 2 and the line
`Wrong setting: NAME: reason`; there is one line for each problem.

Secrets may be in files, such as mounted secrets of containers: `NAME_FILE` is the file's path. These are
{secrets}.
Blanks and line breaks around a secret are ignored.

"-" means that there is no default. Money is in `COST_CURRENCY`.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable: its default and its limits as text."""

    name: str
    default: str
    limits: str


class _Recorder(environment._CollectingEnv):
    """Notes each variable that is asked for, and gives its default."""

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, Setting] = {}
        for kind in ("str", "int", "float", "bool"):
            setattr(self, kind, self._noting(kind))

    def _noting(self, kind: str) -> Callable[..., Any]:
        def note(name: str, default: Any, *, validate: validate.Validator | None = None) -> Any:
            self.settings[name] = Setting(name, _shown(default), _limits(kind, validate))
            return default

        return note


def settings() -> dict[str, Setting]:
    """Return every setting by name, in the order in which it is read. Reads no environment."""
    recorder = _Recorder()
    # The defaults alone are no valid settings: a key is missing.
    with suppress(SettingsInvalid):
        environment._read(recorder)
    # Only the command `evzone-ml` reads it.
    client_url = Setting("ML_SERVICE_URL", "", "`http://` or `https://`")
    threads = Setting("WEB_THREADS", recorder.settings["WEB_THREADS"].default, f"at least {MIN_WEB_THREADS}")
    return recorder.settings | {each.name: each for each in (client_url, threads)}


def page() -> str:
    """Return the page as Markdown."""
    found = settings()
    names = [f"`{name}`" for name in SECRETS]
    parts = [_INTRODUCTION.format(secrets=f"{', '.join(names[:-1])} and {names[-1]}")]
    for title, meanings in SECTIONS.items():
        parts.append(f"\n## {title}\n\n| setting | default | unit, limits | meaning |\n|---|---|---|---|\n")
        for name, (unit, meaning) in meanings.items():
            value = f"`{found[name].default}`" if found[name].default else "-"
            default = DEFAULTS_IN_WORDS.get(name, value)
            limits = "; ".join(filter(None, (unit, found[name].limits)))
            parts.append(f"| `{name}` | {default} | {limits} | {meaning} |\n")
    return "".join(parts)


def _shown(default: Any) -> str:
    if default is None:
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


def _limits(kind: str, validator: validate.Validator | None) -> str:
    match validator:
        case validate.OneOf():
            return ", ".join(f"`{choice}`" for choice in validator.choices)
        case validate.Range(min=low, max=None):
            return f"{'at least' if validator.min_inclusive else 'more than'} {low}"
        case validate.Range(min=low, max=high):
            return f"{low} to {high}"
        case validate.Regexp():
            return validator.error.removeprefix("must be ")
    return "`true` or `false`" if kind == "bool" else ""


if __name__ == "__main__":
    sys.stdout.write(page())
