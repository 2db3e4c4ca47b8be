"""`python -m web.keys`: make, list, revoke and rotate API keys. They are in Redis, for all hosts.

A new key is printed alone on standard output, once. Changes count within 5 s everywhere.
"""

from __future__ import annotations

import argparse
import getpass
import re
import socket
import sys
import time
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Final

from redis import RedisError

from readings.reading import TENANT_ID_PATTERN, epoch_rfc3339
from settings import Limits, load_or_exit
from settings.fields import ROLES
from tasks.storage.api_keys import KeyStore, StoredKey
from tasks.storage.audit_log import AuditEntry, AuditLog
from tasks.storage.redis_connection import connect

SECONDS: Final = {"m": 60, "h": 3_600, "d": 86_400}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_COUNT: Final = re.compile(r"[1-9][0-9]{0,14}")
LIMITS: Final = tuple(each.name for each in fields(Limits))
_NAME: Final = re.compile(r"[\w .@-]{1,64}")


def main() -> int:
    """Run one command; returns the exit code. Blocks until Redis has answered."""
    given = _parser().parse_args()
    settings = load_or_exit()
    redis = connect(settings.redis_url)
    try:
        code = _run(KeyStore(redis), given)
        if code == 0 and given.command != "list":
            AuditLog(settings.audit_log, redis).add(_audit_entry(given))
        return code
    except RedisError as error:
        sys.stderr.write(f"web.keys: Redis cannot be reached: {error}\n")
        return 2


def _run(store: KeyStore, given: argparse.Namespace) -> int:
    if given.command == "create":
        tenants = tuple(dict.fromkeys(given.tenant)) or None
        roles = tuple(dict.fromkeys(given.role))
        if tenants is not None and "admin" in roles:
            sys.stderr.write("web.keys: the role admin acts for the whole service: leave out --tenant\n")
            return 2
        limits = Limits(**dict(given.limit))
        _print(store.create(given.name, roles, tenants, expires_at=given.expires, limits=limits))
        return 0
    if given.command == "list":
        for line in _table(store.all()):
            _print(line)
        return 0
    if given.command == "revoke":
        return 0 if store.revoke(given.id) else _unknown(given.id)
    key = store.rotate(given.id, old_until=time.time() + given.keep_old)
    if key is None:
        return _unknown(given.id)
    _print(key)
    return 0


def _audit_entry(given: argparse.Namespace) -> AuditEntry:
    action = f"keys {given.command} {given.id if given.command in ('revoke', 'rotate') else given.name}"
    return AuditEntry(action, "", "", f"{getpass.getuser()} at {socket.gethostname()}")


def _unknown(key_id: str) -> int:
    sys.stderr.write(f"web.keys: there is no key {key_id}; `list` has the ids\n")
    return 1


def _table(keys: list[StoredKey]) -> list[str]:
    now = time.time()
    rows = [("id", "name", "roles", "tenants", "created", "expires", "limits")]
    for key in keys:
        expires = "never" if key.expires_at is None else str(epoch_rfc3339(key.expires_at))
        ended = " (ended)" if key.expires_at is not None and key.expires_at <= now else ""
        tenants = "all" if key.tenants is None else ",".join(key.tenants)
        created = str(epoch_rfc3339(key.created_at))
        limits = ",".join(f"{name}={most}" for name, most in asdict(key.limits).items() if most) or "none"
        rows.append((key.key_id, key.name, ",".join(key.roles), tenants, created, expires + ended, limits))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m web.keys", description="API keys of the whole service.")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="make a key and print it, once")
    create.add_argument("--name", type=_name, required=True, help="whose it is; `list` shows it")
    create.add_argument(
        "--role", action="append", choices=ROLES, required=True, help="may be given several times"
    )
    create.add_argument(
        "--tenant",
        type=_tenant,
        action="append",
        default=[],
        help="the key acts for this tenant only; may be given several times",
    )
    create.add_argument("--expires", type=_moment, metavar="90d|DATE", help="in 90 days, or on 2027-01-31")
    create.add_argument(
        "--limit",
        type=_limit,
        action="append",
        default=[],
        metavar="NAME=N",
        help=f"one of {', '.join(LIMITS)}; may be given several times",
    )
    commands.add_parser("list", help="ids, rights and limits; no keys")
    revoke = commands.add_parser("revoke", help="end a key")
    revoke.add_argument("id")
    rotate = commands.add_parser(
        "rotate", help="make a new key with the same rights and limits, and print it"
    )
    rotate.add_argument("id")
    rotate.add_argument(
        "--keep-old",
        type=_seconds,
        default=3_600.0,
        metavar="1h",
        help="how long the old key goes on counting",
    )
    return parser


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError("must be 1 to 64 letters, digits, blanks or . @ _ -")
    return text


def _tenant(text: str) -> str:
    if not re.match(TENANT_ID_PATTERN, text):
        raise argparse.ArgumentTypeError("must be 1 to 64 characters of A-Z a-z 0-9 _ -")
    return text


def _limit(text: str) -> tuple[str, int]:
    name, _, most = text.partition("=")
    if name not in LIMITS:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(LIMITS)}, like {LIMITS[0]}=100")
    if not _COUNT.fullmatch(most):
        raise argparse.ArgumentTypeError("must have a whole number of at least 1, like jobs=5")
    return name, int(most)


def _seconds(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError("must be a time like 30m, 12h or 90d")
    return float(found[1]) * SECONDS[found[2]]


def _moment(text: str) -> float:
    """Epoch seconds of a duration from now, or of a date at 00:00 UTC."""
    if _DURATION.fullmatch(text):
        return time.time() + _seconds(text)
    try:
        at = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError("must be a time like 90d, or a date like 2027-01-31") from None
    if at <= time.time():
        raise argparse.ArgumentTypeError("is past already")
    return at


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
