"""Record the service's behaviour.

python -m tests.golden record             all golden files anew: only where a new beginning is meant
python -m tests.golden record --into DIR  the same into another folder
python -m tests.golden prose              texts for people anew, after they were reworded
python -m tests.golden changes            print what differs, in the form of changed.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.golden import files
from tests.golden.compare import differences, overlaid, split_prose
from tests.golden.recorder import AREAS, recording


def main() -> int:
    """Carry out one command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.golden", description="Record the service's behaviour."
    )
    parser.add_argument("command", choices=("record", "prose", "changes"))
    parser.add_argument("--into", type=Path, default=files.FOLDER, metavar="DIR")
    arguments = parser.parse_args()
    observed = recording()
    if arguments.command == "record":
        files.write_all(observed, arguments.into)
    elif arguments.command == "prose":
        files.write(files.PROSE, {area: split_prose(observed[area])[1] for area in AREAS}, arguments.into)
    else:
        sys.stdout.write(json.dumps(_changes(observed), indent=1, ensure_ascii=False) + "\n")
    return 0


def _changes(observed: dict[str, dict[str, object]]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for area in AREAS:
        expected = overlaid(files.read(area), [change for change in files.changes() if change.area == area])
        found += [
            {"area": area, "path": each.path, "now": each.now, "because": ""}
            for each in differences(expected, split_prose(observed[area])[0])
        ]
    return found


if __name__ == "__main__":
    sys.exit(main())
