"""Headers that continue the caller's OpenTelemetry trace, if the package `opentelemetry-api` is installed."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger("evzone_ml_client")


def load_inject() -> Callable[[dict[str, str]], None] | None:
    """Return OpenTelemetry's `inject`, or None if it cannot be imported."""
    try:
        from opentelemetry.propagate import inject
    except ImportError:
        return None
    except Exception:  # for example an unknown name in OTEL_PROPAGATORS
        log.warning("OpenTelemetry cannot be used, requests carry no trace context", exc_info=True)
        return None
    return inject


_inject = load_inject()


def trace_headers() -> dict[str, str]:
    """Return the headers of the application's propagators for the current context, such as `traceparent`.

    Empty without OpenTelemetry; no `traceparent` without a current span. Raises nothing: a failure of tracing
    must not fail a request.
    """
    if _inject is None:
        return {}
    headers: dict[str, str] = {}
    try:
        _inject(headers)
        return {name: value for name, value in headers.items() if value.isascii() and value.isprintable()}
    except Exception:
        log.debug("trace context not sent", exc_info=True)
        return {}
