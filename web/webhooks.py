"""`python -m web.webhooks`: list, add and remove webhooks, and replay what they missed.

The secret of a new webhook is printed alone on standard output, once. Changes count within 2 s everywhere.
"""

from __future__ import annotations

import argparse
import getpass
import re
import socket
import sys
from typing import Final

import orjson
from redis import RedisError

from errors import Conflict
from readings.reading import TENANT_ID_PATTERN, epoch_rfc3339
from settings import Settings, load_or_exit
from tasks.messaging.task_publisher import TaskPublisher
from tasks.notify.cloud_events import TYPES
from tasks.notify.outbox import Outbox
from tasks.notify.targets import TargetRefused, parse_target
from tasks.notify.webhook_store import Webhook, WebhookStatus, WebhookStore
from tasks.storage.audit_log import AuditEntry, AuditLog
from tasks.storage.redis_connection import connect

FAILURES_AT_ONCE: Final = 500
CHANGES: Final = ("add", "remove", "replay")


def main() -> int:
    """Run one command; returns the exit code. Blocks until Redis has answered."""
    given = _parser().parse_args()
    settings = load_or_exit()
    redis = connect(settings.redis_url)
    store = WebhookStore(redis)
    try:
        code, subject = _run(store, Outbox(redis, TaskPublisher(settings)), settings, given)
        if code == 0 and given.command in CHANGES:
            origin = f"{getpass.getuser()} at {socket.gethostname()}"
            AuditLog(settings.audit_log, redis).add(
                AuditEntry(f"webhooks {given.command} {subject}", "", "", origin)
            )
        return code
    except RedisError as error:
        sys.stderr.write(f"web.webhooks: Redis cannot be reached: {error}\n")
        return 2


def _run(
    store: WebhookStore, outbox: Outbox, settings: Settings, given: argparse.Namespace
) -> tuple[int, str]:
    """The exit code, and the id of the webhook that was changed."""
    if given.command == "list":
        webhooks = store.all()
        for line in _table(webhooks, store.statuses(webhooks)):
            _print(line)
        return 0, ""
    if given.command == "add":
        try:
            parse_target(given.url, settings)
            made, secret = store.create(given.url, given.type, given.tenant)
        except (TargetRefused, Conflict) as error:
            sys.stderr.write(f"web.webhooks: {error}\n")
            return 2, ""
        sys.stderr.write(f"web.webhooks: {made.webhook_id} was added; its secret, shown once:\n")
        _print(secret)
        return 0, made.webhook_id
    if given.id not in {each.webhook_id for each in store.all()}:
        sys.stderr.write(f"web.webhooks: there is no webhook {given.id}; `list` has the ids\n")
        return 1, ""
    if given.command == "remove":
        store.remove(given.id)
    elif given.command == "replay":
        number = outbox.replay(given.id, given.event)
        sys.stderr.write(f"web.webhooks: {number} parked events are sent again\n")
    else:
        _print_failures(outbox, given.id)
    return 0, given.id


def _print_failures(outbox: Outbox, webhook_id: str) -> None:
    offset, total = 0, 1
    while offset < total:
        lines, total = outbox.failures(webhook_id, offset=offset, limit=FAILURES_AT_ONCE)
        for line in lines:
            each = orjson.loads(line)
            after = each["next_attempt_at"] or "parked"
            _print(f"{each['event_id']}  {each['type']}  {each['attempts']} tries  {after}  {each['error']}")
        offset += FAILURES_AT_ONCE


def _table(webhooks: list[Webhook], statuses: list[WebhookStatus]) -> list[str]:
    rows: list[tuple[str, ...]] = [
        ("id", "tenant", "state", "types", "outbox", "parked", "delivered", "created", "url")
    ]
    for each, status in zip(webhooks, statuses, strict=True):
        created = str(epoch_rfc3339(each.created_at))
        numbers = (status.outbox, status.parked_now, status.totals["delivered"])
        first = (each.webhook_id, each.tenant or "all", each.state, ",".join(each.types))
        rows.append((*first, *map(str, numbers), created, each.url))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m web.webhooks", description="Webhooks of the whole service."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="ids, states and numbers; no secrets")
    add = commands.add_parser("add", help="add a webhook and print its secret, once")
    add.add_argument("url", help="events are sent here by POST")
    add.add_argument(
        "--type", action="append", choices=TYPES, required=True, help="may be given several times"
    )
    add.add_argument("--tenant", type=_tenant, help="events of this tenant only; without it of all")
    for name, text in (
        ("remove", "remove a webhook with the events that wait for it"),
        ("failed", "events that were not delivered: parked, or tried again"),
        ("replay", "send parked events again, and enable the webhook"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("id")
        if name == "replay":
            command.add_argument("--event", metavar="ID", help="only this event")
    return parser


def _tenant(text: str) -> str:
    if not re.match(TENANT_ID_PATTERN, text):
        raise argparse.ArgumentTypeError("must be 1 to 64 characters of A-Z a-z 0-9 _ -")
    return text


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
