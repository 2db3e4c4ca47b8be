"""Secrets in files, such as mounted secrets of containers: `NAME_FILE` names the file of `NAME`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

# Each may also be in a file that `NAME_FILE` names.
SECRETS: Final = (
    "ML_SERVICE_API_KEY",
    "REDIS_URL",
    "REDIS_CACHE_URL",
    "KAFKA_SASL_PASSWORD",
    "FLOWER_BASIC_AUTH",
    "SMTP_PASSWORD",
    # Read by OpenTelemetry's SDK; a receiver's token is in them.
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
)


def read_secret_files() -> list[str]:
    """Set each secret whose `NAME_FILE` names a file. Child processes inherit it.

    Returns one line for each file that cannot count.
    """
    return [problem for name in SECRETS if (problem := _read(name))]


def forget_secrets_of_files() -> None:
    """Take secrets that are in files out of the environment, so that each child process reads its file.

    A file that has changed since then counts when the child starts again.
    """
    for name in SECRETS:
        if os.environ.get(f"{name}_FILE"):
            os.environ.pop(name, None)


def _read(name: str) -> str:
    file = os.environ.get(f"{name}_FILE", "")
    if not file:
        return ""
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        return f"{name}_FILE: {file} cannot be read: {reason}"
    if not text:
        return f"{name}_FILE: {file} is empty"
    if os.environ.get(name, text) not in ("", text):
        return f"{name}_FILE: {name} is set too, to something else"
    os.environ[name] = text
    return ""
