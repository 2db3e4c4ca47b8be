# mypy: ignore-errors
"""LitServe with batches of 32 and two worker processes."""

import os

import litserve
from starlette.requests import Request
from starlette.responses import Response

from bench.rivals.answer import Answerer


class Api(litserve.LitAPI):
    def setup(self, device):
        self.answerer = Answerer()

    async def decode_request(self, request: Request):
        return self.answerer.reading(await request.body())

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
