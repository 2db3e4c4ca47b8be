"""The task that loads and checks a model version without activating it."""

from __future__ import annotations

import logging
from typing import Any

import orjson

from errors import ServiceError
from models import registry
from models.scorer import anomaly_model, failure_model
from tasks.messaging.messages import check_version
from tasks.messaging.names import TaskNames
from tasks.monitoring.versions import VERDICT_TTL_S
from tasks.worker.app import app, settings
from tasks.worker.intake import reading_arguments
from tasks.worker.runtime import current

log = logging.getLogger(__name__)


@app.task(name=TaskNames.VERIFY, ignore_result=True, Request="tasks.worker.expiry:ExpiringRequest")
def verify(raw: dict[str, Any]) -> None:
    """Load the version of `{v, reply_key, model, version}` with its golden rows, and store the result.

    The result is the reason for which the version may not serve, or null. It is stored under `reply_key` for
    60 s.
    """
    with reading_arguments(TaskNames.VERIFY):
        check_version(raw)
        model, version_id, reply_key = str(raw["model"]), str(raw["version"]), str(raw["reply_key"])
    problem = None
    try:
        version = registry.load(settings.model_dir, model, version_id)
        (failure_model if model == "failure" else anomaly_model)(version)
    except (ServiceError, OSError) as error:
        problem = str(error)
    except MemoryError:  # Celery would end the whole worker
        problem = "The worker has too little memory for it."
    except Exception as error:
        log.exception("%s %s cannot be loaded", model, version_id)
        problem = f"It cannot be loaded: {type(error).__name__}."
    current().redis.set(reply_key, orjson.dumps({"problem": problem}), ex=VERDICT_TTL_S)
