"""Keep `celery -A tasks.app` working for one release; the app is in `tasks/worker/app.py`."""

from __future__ import annotations

from tasks.worker.app import app

__all__ = ["app"]
