# mypy: ignore-errors
"""The plain way: Flask, one Celery task a request, `.get()` on the result backend, scikit-learn a row."""

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
    global answerer
    from bench.rivals.answer import Answerer

    answerer = Answerer()


@celery.task(name="plain.predict")
def predict_task(raw: str) -> str:
    (body,) = answerer.verdicts([answerer.reading(raw.encode())])
    return body.decode()


@app.post("/predict")
def predict():
    result = predict_task.delay(request.get_data(as_text=True))
    return Response(result.get(timeout=30), content_type="application/json")
