# mypy: ignore-errors
"""Flask, the models in the web process, no queue."""

from flask import Flask, Response, request

from bench.rivals.responses import Answerer

app = Flask(__name__)
answerer = Answerer()


@app.post("/predict")
def predict():
    """Score one reading."""
    (body,) = answerer.verdicts([answerer.reading(request.get_data())])
    return Response(body, content_type="application/json")
