"""Putting a task on its queue, from the processes that ask for scores (web, consumer).

Tasks are sent by name, so that these processes hold no model and import none.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from redis import RedisError

from celeryconfig import client_config
from errors import BrokerUnavailable
from settings import Settings


class Sender:
    """A Celery producer that gives up quickly. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._app = Celery("evzone-ml-client", set_as_current=False)
        self._app.conf.update(client_config(settings))

    def send(
        self,
        task: str,
        message: dict[str, Any],
        *,
        queue: str,
        expires_s: float | None = None,
        time_limit_s: float | None = None,
    ) -> str:
        """Enqueue and return the task id. Blocks 1.5 s at most.

        With `expires_s`, a worker that gets to the task later than that discards it; with `time_limit_s` a
        process that takes longer for it is killed (without, the task's own limit holds). Raises
        `BrokerUnavailable`; whether the broker has taken the task is then not known.
        """
        try:
            sent = self._app.send_task(
                task,
                args=(message,),
                queue=queue,
                expires=expires_s,
                time_limit=time_limit_s,  # type: ignore[arg-type]  # fractions are welcome
                ignore_result=True,
                retry=False,
            )
        except (OperationalError, RedisError, OSError, RuntimeError) as error:
            # RuntimeError is how Celery says "Retry limit exceeded" when a result backend is gone.
            raise BrokerUnavailable("The task queue cannot be reached.") from error
        return str(sent.id)
