"""Task messages and replies as they lie in Redis, written and read by hand.

These are copies of the wire format on purpose: a release that sends or reads it otherwise does not work
beside 04f6cf5.
"""

from __future__ import annotations

import base64
import json
import math
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

from redis import Redis

from tests.processes import wait_until

Document = dict[str, Any]
WAIT_S: Final = 120


def task(name: str, message: Document, queue: str) -> bytes:
    """The element of a queue's list for one task, as 04f6cf5 writes it."""
    task_id = str(uuid.uuid4())
    body = [[message], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    headers: Document = {
        "lang": "py",
        "task": name,
        "id": task_id,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": task_id,
        "parent_id": None,
        "argsrepr": "(<1 characters>,)",
        "kwargsrepr": {},
        "origin": "gen1@golden",
        "ignore_result": True,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
    properties = {
        "correlation_id": task_id,
        "reply_to": "",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": task_id,
    }
    element = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    }
    return json.dumps(element).encode()


def decoded_task(element: bytes) -> Document:
    """An element of a queue's list with its body decoded."""
    task: Document = json.loads(element)
    return {**task, "body": json.loads(base64.b64decode(task["body"]))}


def message_in(task: Document) -> Document:
    """The one argument of a decoded task."""
    found: Document = task["body"][0][0]
    return found


def stable(task: Document) -> Document:
    """A decoded task without what differs between runs: the sender's name; moments count from the sending."""
    message = message_in(task)
    sent_at = message.get("sent_at", time.time())
    headers = {**task["headers"], "origin": "<origin>"}
    properties = dict(task["properties"])
    if "expiration" in properties:
        properties["expiration"] = f"<{_halves(int(properties['expiration']) / 1000)} s in ms>"
    shown = {**message}
    if "asks" in shown:
        shown["asks"] = [{**ask, "expires_at": _after(ask["expires_at"], sent_at)} for ask in shown["asks"]]
    if "readings" in shown:
        shown["expires_at"] = [_after(each, sent_at) for each in shown["expires_at"]]
    return {**task, "headers": headers, "properties": properties, "body": [[shown], *task["body"][1:]]}


def reply(batch_id: str, codes: Sequence[str | None], lines: Sequence[Any], **head: Any) -> bytes:
    """A reply as a worker of 04f6cf5 pushes it: `lines` are verdicts, or sentences where there is a code."""
    header = {"v": 1, "batch_id": batch_id, "errors": list(codes), **head}
    return b"\n".join(json.dumps(each).encode() for each in [header, *lines])


def decoded_reply(raw: bytes) -> Document:
    """Header and lines of a reply."""
    header, *lines = map(json.loads, raw.split(b"\n"))
    return {"header": header, "lines": lines}


def taken(redis: Redis, queue: str) -> Document:
    """The next task of a queue, decoded. Blocks until there is one."""
    found: list[bytes] = []

    def look() -> bool:
        popped: Any = redis.rpop(queue)
        found.extend([popped] if popped else [])
        return bool(found)

    wait_until(look, what=f"a task on {queue}", timeout_s=WAIT_S)
    return decoded_task(found[0])


def answer_to(
    redis: Redis, task: Document, codes: Sequence[str | None], lines: Sequence[Any], **head: Any
) -> None:
    """Push a reply to a task's sender."""
    message = message_in(task)
    redis.rpush(message["reply_to"], reply(message["batch_id"], codes, lines, **head))


def _after(moment: float, sent_at: float) -> str:
    return f"<sent + {_halves(moment - sent_at)} s>"


def _halves(seconds: float) -> str:
    """Rounded up to half a second: a little of it has passed."""
    return f"{math.ceil(seconds * 2) / 2:g}"
