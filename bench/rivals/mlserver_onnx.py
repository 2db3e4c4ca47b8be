# mypy: ignore-errors
"""MLServer with adaptive batching (32 readings, 5 ms) and two parallel workers."""

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from bench.rivals.responses import Answerer


class Model(MLModel):
    """The service's verdict as an MLServer model."""

    async def load(self) -> bool:
        """Load the models."""
        self.answerer = Answerer()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Score a batch of readings."""
        raws = StringCodec.decode_input(payload.inputs[0])
        bodies = self.answerer.verdicts([self.answerer.reading(raw.encode()) for raw in raws])
        output = StringCodec.encode_output("verdict", [body.decode() for body in bodies], use_bytes=False)
        return InferenceResponse(model_name=self.name, outputs=[output])
