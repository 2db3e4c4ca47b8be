"""Set-up at the start of each process: logging and garbage collection."""

from __future__ import annotations

import gc
import logging
import os
import resource
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TextIO

from structlog.contextvars import merge_contextvars
from structlog.dev import ConsoleRenderer
from structlog.processors import JSONRenderer, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from settings import Settings

log = logging.getLogger(__name__)

# Open files of a web process besides its connections.
OTHER_FILES: Final = 512
GARBAGE_THRESHOLD: Final = 100_000
# Logs one line per HTTP response if `ACCESS_LOG` is on. The fields are in `extra`.
ACCESS_LOGGER: Final = "access"
ACCESS_FIELDS: Final = (
    *("method", "path", "address", "status", "duration_ms"),
    *("request_id", "trace_id", "tenant"),
)
# These log a line per task or Kafka heartbeat; the metrics contain the same information.
NOISY: Final = ("celery.worker.strategy", "celery.app.trace", "kafka")

Context = Callable[[], Mapping[str, Any]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def configure_logging(settings: Settings, *, context: Context | None = None) -> None:
    """Log one line per event to standard error, in the format of `LOG_FORMAT`. Call once, at process start.

    `context` returns additional fields for each line, besides those bound with `structlog.contextvars`. It is
    called in the thread that logs, when a line is written.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(settings, is_terminal=sys.stderr.isatty(), context=context))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
    access = logging.getLogger(ACCESS_LOGGER)
    access.setLevel(logging.INFO)  # independent of LOG_LEVEL
    access.disabled = not settings.access_log


def formatter(settings: Settings, *, is_terminal: bool, context: Context | None = None) -> logging.Formatter:
    """Return a formatter for records of any library: one JSON line, or text with tracebacks below."""
    as_text = settings.log_format == "text" or (settings.log_format == "auto" and is_terminal)
    renderers: list[Processor] = [format_exc_info, JSONRenderer()]
    if as_text:
        colors = is_terminal and "NO_COLOR" not in os.environ
        renderers = [_printable, ConsoleRenderer(colors=colors, exception_formatter=_write_traceback)]

    def add_context(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return event if context is None else {**context(), **event}

    return ProcessorFormatter(
        foreign_pre_chain=[merge_contextvars, ExtraAdder(ACCESS_FIELDS), add_context, _standard_fields],
        processors=[ProcessorFormatter.remove_processors_meta, *renderers],
    )


def _standard_fields(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put time, level and logger first, and omit fields without a value."""
    record: logging.LogRecord = event["_record"]
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return {
        "timestamp": time.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        **{name: value for name, value in event.items() if value is not None},
    }


def _printable(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escape control characters and line breaks, so that a caller's text cannot imitate a log line."""
    return {name: _escaped(value) if isinstance(value, str) else value for name, value in event.items()}


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _write_traceback(file: TextIO, exc_info: ExcInfo) -> None:
    """Indent each line, because exception messages may contain a caller's line breaks."""
    for line in logging.Formatter().formatException(exc_info).split("\n"):
        file.write(f"\n    {_escaped(line)}")


def connections_allowed(wanted: int) -> int:
    """Return how many connections a web process may accept: `wanted`, or what its open files allow.

    Each connection is an open file. Some stay free for Redis, uploads and the admin port.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, max(hard - OTHER_FILES, 1))


def allow_open_files(connections: int) -> None:
    """Raise this process's limit of open files to what so many connections need, or as far as possible.

    1,024 is a usual limit. Logs a warning if the system allows fewer connections.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = connections_allowed(connections)
    if soft not in (resource.RLIM_INFINITY, hard):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(allowed + OTHER_FILES, hard)), hard))
    if allowed < connections:
        log.warning("%d connections at most: this system allows %d open files (ulimit -Hn)", allowed, hard)


def limit_memory(settings: Settings) -> None:
    """Limit the memory of this process and of the children that it forks from now on.

    What needs more raises `MemoryError` and fails alone. RLIMIT_DATA counts memory that the process writes:
    heaps and stacks, without programs, models and other files. RLIMIT_AS would also count address space that
    allocators only reserve (docs/operations.md). Does nothing on systems without this limit.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = settings.process_memory_bytes
    if not most or (hard != resource.RLIM_INFINITY and hard < most):
        return
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    except (OSError, ValueError) as error:
        log.warning("the memory of this process cannot be limited: %s", error)


def collect_garbage_seldom() -> None:
    """Collect garbage a hundred times less often, and never scan the objects loaded so far.

    The processes hold many objects, and few of them in cycles. Collections cost a batch worker 10 % of its
    time (docs/adr/0009) and delay the callers of the web process (docs/adr/0008).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


def collect_garbage_of_outage() -> None:
    """Collect garbage after an outage of Redis or Kafka. Blocks while it scans the objects since the start.

    Their clients leave connections, tracebacks and pending requests in cycles. After `collect_garbage_seldom`
    these, and their sockets, would stay for long.
    """
    gc.collect()
