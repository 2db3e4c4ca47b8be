"""Report a task as lost when the process running it dies.

When a scoring process dies or is killed at its time limit, its parent notices at once. The parent then pushes
an error reply for the task, so that the client can retry long before its deadline.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from celery.signals import task_failure
from redis import RedisError
from structlog.contextvars import bound_contextvars

from tasks.messaging.messages import TASK_LOST, ScoreResult, encode_reply, requests_in, to_reply
from tasks.messaging.names import TaskNames
from tasks.storage.redis_connection import connect
from tasks.worker.app import settings

log = logging.getLogger(__name__)


@task_failure.connect
def reply_lost(
    sender: Any,
    task_id: str,
    args: Sequence[Any] = (),
    exception: BaseException | None = None,
    **_: Any,
) -> None:
    """Reply that a single prediction's task is lost. Runs in the parent, or in the child that raised.

    Blocks 2 s at most. Raises no Redis errors: without a reply the client detects the loss by time.
    """
    if sender.name != TaskNames.SCORE or not args:
        return
    message = args[0]
    try:
        batch_id, reply_to, count = message["batch_id"], message["reply_to"], requests_in(message)
    except (KeyError, TypeError):  # no task of our senders
        return
    lost = ScoreResult(error_code=TASK_LOST, error_detail="The process that scored this died or was stopped.")
    redis = connect(settings.redis_url)  # deaths are rare, and a socket does not survive a fork
    try:
        reply = encode_reply(batch_id, [lost] * count)
        redis.execute_command(*to_reply(reply_to, reply))  # type: ignore[no-untyped-call]  # untyped there
        with bound_contextvars(task_id=task_id):
            log.warning("task of %d readings lost: %s", count, exception)
    except RedisError as error:
        log.debug("a lost task could not be reported: %s", error)
    finally:
        redis.close()
