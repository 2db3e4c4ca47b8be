"""Exit codes of a run, which scripts rely on, and the errors that cause them."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class Exit(IntEnum):
    """Exit codes of the command."""

    SCORED = 0
    SOME_ROWS_FAILED = 1
    REFUSED = 2
    UNREACHABLE = 3
    NOT_SUCCEEDED = 4
    INTERRUPTED = 130
    READER_GONE = 141


class GivenUp(Exception):
    """Raised when a run cannot continue. The message is for the user."""

    code: ClassVar[Exit]


class Refused(GivenUp):
    """Raised for wrong usage, and for requests that the service will always refuse."""

    code = Exit.REFUSED


class Unreachable(GivenUp):
    """Raised when the service was unavailable for longer than `--patience`."""

    code = Exit.UNREACHABLE


class NotSucceeded(GivenUp):
    """Raised when the job failed, was cancelled or has expired."""

    code = Exit.NOT_SUCCEEDED
