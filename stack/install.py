"""Create .venv and install a lock file into it: `python3 stack/install.py requirements.txt`.

The project's own Python client, clients/python, is not installed: pip requires hashes, and a folder has none.
A .pth file in .venv contains the path of its source instead. The client's dependencies are in
requirements.in. Its command is .venv/bin/evzone-ml.

Runs before anything is installed, on any Python. It uses only the standard library, and syntax that an old
Python can parse before it reports its version.
"""

import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
LOG = os.path.join(VENV, "install.log")
COMMAND = '#!/bin/sh\nexec "$(dirname "$0")/python" -m evzone_ml_client.command "$@"\n'
CLIENT = os.path.join(ROOT, "clients", "python", "src")
LOG_LINES_SHOWN = 15
LOOK_EVERY_S = 0.5
PLAIN_LINE_EVERY_S = 15.0


def main(lock_name: str) -> int:
    """Install the packages of `lock_name`, unless they are installed. Blocks. Returns the exit code."""
    problem = python_problem(sys.version_info[:2])
    if problem:
        sys.stderr.write(problem + "\n")
        return 2
    lock = os.path.join(ROOT, lock_name)
    mark = os.path.join(VENV, "installed-" + lock_name)
    wanted = lock_digest(lock)
    if not works(PYTHON) and not make_venv():
        return 1
    link_client(VENV)
    if os.path.exists(mark) and read(mark) == wanted:
        return 0
    if not install(lock):
        return 1
    with open(mark, "w") as file:
        file.write(wanted)
    return 0


def python_problem(version: "tuple[int, int]") -> str:
    """Return why this Python is unsuitable, as a sentence; empty if it is suitable."""
    if version < OLDEST:
        return (
            "Python {}.{} or newer is needed; {} is {}.{}. If a newer one is installed, name it: "
            "make run PYTHON=python{}.{}".format(*OLDEST, sys.executable, *version, *OLDEST)
        )
    try:
        import ensurepip  # noqa: F401 - a separate package on Debian
        import venv  # noqa: F401
    except ImportError:
        return (
            "This Python cannot make a virtual environment, because its ensurepip is missing. On Debian and "
            "Ubuntu: apt install python{}.{}-venv. Or name another Python: make run PYTHON=…".format(*version)
        )
    return ""


def lock_digest(lock: str) -> str:
    """Return a digest of the lock file and the Python version."""
    with open(lock, "rb") as file:
        content = hashlib.sha256(file.read()).hexdigest()
    return "{} python{}.{}".format(content, *sys.version_info[:2])


def works(python: str) -> bool:
    """Whether an interpreter exists and starts. It does not start if its base Python was removed."""
    try:
        return subprocess.call([python, "-c", ""], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def make_venv() -> bool:
    """Create .venv anew. Returns False, with a message on standard error, if that fails."""
    print("Making .venv …", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run(
        [sys.executable, "-m", "venv", VENV], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if made.returncode != 0:
        sys.stderr.write("Could not make .venv:\n" + made.stdout.decode(errors="replace"))
        shutil.rmtree(VENV, ignore_errors=True)
    return made.returncode == 0


def link_client(venv: str) -> None:
    """Add the Python client to the import path of `venv`, relative to its site-packages, and its command."""
    for packages in glob.glob(os.path.join(venv, "lib", "python*", "site-packages")):
        with open(os.path.join(packages, "evzone_ml_client.pth"), "w") as file:
            file.write(os.path.relpath(CLIENT, packages) + "\n")
    command = os.path.join(venv, "bin", "evzone-ml")
    with open(command, "w") as file:
        file.write(COMMAND)
    os.chmod(command, 0o755)  # noqa: S103 - as pip does


def install(lock: str) -> bool:
    """Install exactly the packages of the lock file, with verified hashes, and show progress.

    Blocks until pip ends. Returns whether it succeeded.
    """
    print(f"Installing the packages of {os.path.basename(lock)} …", flush=True)
    command = [PYTHON, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    # The lock is complete, so nothing is resolved. Wheels need no compiler. Compiling all modules would
    # double the time; Python compiles the used ones on import.
    command += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-compile"]
    command += ["--progress-bar", "off", "--requirement", lock]
    began = time.monotonic()
    with open(LOG, "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    follow(process, began)
    if process.returncode != 0:
        show_failure()
        return False
    print(f"Installed after {time.monotonic() - began:.0f} s.", flush=True)
    return True


def follow(process: "subprocess.Popen[bytes]", began: float) -> None:
    """Wait for pip and show its progress. pip first fetches all packages, then unpacks them."""
    live = sys.stdout.isatty()
    shown_at, already = began, count_unpacked()
    while process.poll() is None:
        time.sleep(LOOK_EVERY_S)
        fetched = re.findall(r"^Collecting ([^=\n]+)", read(LOG), re.MULTILINE)
        unpacked = max(0, count_unpacked() - already)
        doing = f"{len(fetched)} fetched, {unpacked} unpacked"
        if fetched and not unpacked:
            doing += f"; fetching {fetched[-1]}"
        now = time.monotonic()
        if live:
            sys.stdout.write(f"\r\033[2K{now - began:4.0f} s  {doing}")
            sys.stdout.flush()
        elif now - shown_at >= PLAIN_LINE_EVERY_S:
            shown_at = now
            print(f"{now - began:4.0f} s  {doing}", flush=True)
    if live:
        sys.stdout.write("\r\033[2K")


def count_unpacked() -> int:
    """Return the number of packages in .venv."""
    return len(glob.glob(os.path.join(VENV, "lib", "python*", "site-packages", "*.dist-info")))


def show_failure() -> None:
    """Print the last lines of pip's log, which contain the reason."""
    lines = read(LOG).splitlines()
    sys.stderr.write("Could not install the packages. The last lines of .venv/install.log:\n")
    for line in lines[-LOG_LINES_SHOWN:]:
        sys.stderr.write("  | " + line + "\n")


def read(path: str) -> str:
    """Return the content of a text file."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
