"""The settings of e-mail: `SMTP_*`. Without `SMTP_HOST` no e-mail is sent."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from environs import Env
from marshmallow import validate

MODES: Final = ("starttls", "tls", "off")
# As mail clients use them: submission, submission over TLS, and a relay in the own network.
PORTS: Final = {"starttls": 587, "tls": 465, "off": 25}
MOST_RECIPIENTS: Final = 20
# Printable ASCII without blanks and without the characters that have a meaning in headers of e-mail.
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*"
)
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_PORT: Final = validate.Range(min=1, max=65535, error="must be a port, 1 to 65535")
_MINUTES: Final = validate.Range(min=1, max=1440, error="must be 1 to 1440 minutes")


@dataclass(frozen=True, slots=True)
class Smtp:
    """The server that takes e-mails, and the addresses. `host` empty: no e-mail. `tls` is one of `MODES`."""

    host: str = ""
    port: int = PORTS["starttls"]
    user: str = ""
    # It must not reach a log.
    password: str = field(default="", repr=False)
    tls: str = "starttls"
    sender: str = ""
    recipients: tuple[str, ...] = ()
    digest_s: float = 3600.0

    @property
    def wanted(self) -> bool:
        """Whether e-mails are sent."""
        return bool(self.host)


def read_smtp(env: Env) -> Smtp:
    """The settings as they are read. `smtp_problems` checks them."""
    tls = env.str(
        "SMTP_TLS", "starttls", validate=validate.OneOf(MODES, error="must be one of: {choices}")
    )  # None if it is none of them
    return Smtp(
        host=env.str("SMTP_HOST", ""),
        port=env.int("SMTP_PORT", None, validate=_PORT) or PORTS.get(tls, PORTS["starttls"]),
        user=env.str("SMTP_USER", ""),
        password=env.str("SMTP_PASSWORD", ""),
        tls=tls,
        sender=env.str("SMTP_FROM", ""),
        recipients=tuple(filter(None, (part.strip(" ") for part in env.str("SMTP_TO", "").split(",")))),
        digest_s=60.0 * (env.int("SMTP_DIGEST_MINUTES", 60, validate=_MINUTES) or 0),
    )


def smtp_problems(smtp: Smtp) -> list[str]:
    """One line for each setting that cannot work. Nothing is checked without a host."""
    if not smtp.wanted:
        return []
    problems = []
    if not _HOST.fullmatch(smtp.host):
        problems.append("SMTP_HOST: must be a host name or an address; the port is SMTP_PORT")
    if not _ADDRESS.fullmatch(smtp.sender):
        problems.append("SMTP_FROM: must be an address like ml@example.com, without a name and line breaks")
    if not smtp.recipients:
        problems.append("SMTP_TO: must be set with SMTP_HOST")
    for number, address in enumerate(smtp.recipients, start=1):
        if not _ADDRESS.fullmatch(address):
            problems.append(
                f"SMTP_TO: entry {number} must be an address like ops@example.com, without a name and line "
                "breaks"
            )
    if len(smtp.recipients) > MOST_RECIPIENTS:
        problems.append(f"SMTP_TO: must be at most {MOST_RECIPIENTS} addresses; a mailing list has more")
    if bool(smtp.user) != bool(smtp.password):
        missing, present = ("SMTP_PASSWORD", "SMTP_USER") if smtp.user else ("SMTP_USER", "SMTP_PASSWORD")
        problems.append(f"{missing}: must be set with {present}")
    if not (smtp.user + smtp.password).isascii():
        problems.append("SMTP_USER, SMTP_PASSWORD: must be ASCII")
    return problems
