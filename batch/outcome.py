"""How a run ends: the exit codes that scripts rely on, and what raises them."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class Exit(IntEnum):
    SCORED = 0
    SOME_ROWS_FAILED = 1
    REFUSED = 2
    UNREACHABLE = 3
    NOT_SUCCEEDED = 4
    INTERRUPTED = 130


class GivenUp(Exception):
    """Raised when a run cannot go on; the message is for a person."""

    code: ClassVar[Exit]


class Refused(GivenUp):
    """Raised for wrong usage, and for what the service will not take, whenever it is asked."""

    code = Exit.REFUSED


class Unreachable(GivenUp):
    """Raised when the service has not answered for longer than one is patient."""

    code = Exit.UNREACHABLE


class NotSucceeded(GivenUp):
    """Raised when the job failed, was cancelled, or is not known any more."""

    code = Exit.NOT_SUCCEEDED
