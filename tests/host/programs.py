"""Programs that tests of the host need and Python does not bring."""

from __future__ import annotations

import os
import shutil

import pytest


def require(program: str, package: str) -> str:
    """Return the path of a program of a Debian package.

    Without it the test is skipped at the desk. With `CI` set it fails, or nobody would notice.
    """
    found = shutil.which(program)
    if found is not None:
        return found
    problem = f"needs {program}: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(problem, pytrace=False)
    pytest.skip(problem)
