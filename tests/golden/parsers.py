"""Run a command's module and print its argument parser as JSON instead of parsing.

python -m tests.golden.parsers models
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
from typing import Any


def described(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Options and sub-commands of a parser, without their help texts."""
    found: dict[str, Any] = {"options": {}, "arguments": [], "commands": {}}
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        if isinstance(action, argparse._SubParsersAction):
            found["commands"] = {name: described(each) for name, each in sorted(action.choices.items())}
            found["command_required"] = action.required
        elif action.option_strings:
            found["options"][" ".join(action.option_strings)] = _action(action)
        else:
            found["arguments"].append({"name": action.dest, **_action(action)})
    return found


def _action(action: argparse.Action) -> dict[str, Any]:
    return {
        "required": action.required,
        "choices": None if action.choices is None else [str(choice) for choice in action.choices],
        "default": None if action.default is None else str(action.default),
        "values": action.nargs if action.nargs is None else str(action.nargs),
    }


class Described(SystemExit):
    """Raised in place of parsing."""


def main() -> int:
    """Print the parser of the module that is named as the first argument."""

    def print_and_end(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        sys.stdout.write(json.dumps(described(parser)))
        raise Described(0)

    argparse.ArgumentParser.parse_args = print_and_end  # type: ignore[method-assign,assignment]  # a stand-in
    module = sys.argv[1]
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
