"""`.env.example` and the readers of settings name the same settings with the same defaults."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from settings import ROOT, read_settings

# Read by `evzone-ml batch`, from the same file.
OF_THE_COMMAND = ("ML_SERVICE_URL",)
READERS = ("environment.py", "smtp.py")


def read_by_settings() -> dict[str, str | None]:
    """Each name that is asked of the environment, with its default as text.

    None where the default is worked out from other settings: the example tells it in words.
    """
    calls = (
        node
        for name in READERS
        for node in ast.walk(ast.parse((ROOT / "settings" / name).read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "env"
        and node.func.attr in ("str", "int", "float", "bool")
    )
    found: dict[str, str | None] = {}
    for call in calls:
        name, default = call.args[:2]
        is_plain = isinstance(default, ast.Constant) and default.value is not None
        found[ast.literal_eval(name)] = as_text(ast.literal_eval(default)) if is_plain else None
    return found


def as_text(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def shown_in_example() -> tuple[dict[str, str], dict[str, str]]:
    """The example's settings: commented ones, which show defaults, and ones to be filled in."""
    text = (ROOT / ".env.example").read_text()
    defaults = dict(re.findall(r"^#([A-Z_]+)=(.*)$", text, re.MULTILINE))
    to_fill_in = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))
    return defaults, to_fill_in


def test_example_names_every_setting_and_no_other() -> None:
    defaults, to_fill_in = shown_in_example()
    assert sorted(defaults | to_fill_in) == sorted({*read_by_settings(), *OF_THE_COMMAND})


def test_example_shows_the_real_defaults() -> None:
    shown, _ = shown_in_example()
    real = {name: default for name, default in read_by_settings().items() if default is not None}
    assert {name: shown[name] for name in shown if name in real} == {
        name: real[name] for name in real if name in shown
    }


def test_settings_to_fill_in_have_no_default() -> None:
    _, to_fill_in = shown_in_example()
    real = read_by_settings()
    assert [real[name] for name in to_fill_in] == ["", ""]


def test_example_loads_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in shown_in_example()[1]:
        monkeypatch.setenv(name, "")  # remembered, and put back after reading the file has set it
        monkeypatch.delenv(name)
    copy = tmp_path / ".env"
    copy.write_text((ROOT / ".env.example").read_text())
    assert read_settings(dotenv=copy).api_keys[0].key == "change-me"
