# mypy: ignore-errors
"""LitServe with batches of 32 and two worker processes."""

import os
from datetime import UTC, datetime

import litserve
from starlette.responses import Response

from bench.rivals.responses import Answerer
from readings.parsing import parse_reading


class Api(litserve.LitAPI):
    """The service's verdict as a LitServe API."""

    def setup(self, device):
        self.answerer = Answerer()

    def decode_request(self, request):
        return parse_reading(request["metrics"], now=datetime.now(UTC), pointer="/metrics")

    def batch(self, readings):
        return readings

    def predict(self, readings):
        return self.answerer.verdicts(readings)

    def unbatch(self, bodies):
        return bodies

    def encode_response(self, body):
        return Response(body, media_type="application/json")


if __name__ == "__main__":
    api = Api(max_batch_size=32, batch_timeout=0.002, api_path="/predict")
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=2)
    server.run(port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning")
