# mypy: ignore-errors
"""The plain way: Flask, a Celery task each, `.get()` on the result backend, scikit-learn row by row."""

import os

from celery import Celery
from celery.signals import worker_process_init
from flask import Flask, Response, request

url = os.environ["REDIS_URL"]
celery = Celery("plain", broker=url, backend=url)
celery.conf.update(result_expires=60)
app = Flask(__name__)
answerer = None


@worker_process_init.connect
def load(**_):
    """Load the models in the worker."""
    global answerer
    from bench.rivals.responses import Answerer

    answerer = Answerer()


@celery.task(name="plain.predict")
def predict_task(raw: str) -> str:
    """Score one request."""
    (body,) = answerer.verdicts([answerer.reading(raw.encode())])
    return body.decode()


@app.post("/predict")
def predict():
    """Answer one request through the queue."""
    result = predict_task.delay(request.get_data(as_text=True))
    return Response(result.get(timeout=30), content_type="application/json")
