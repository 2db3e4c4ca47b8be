"""One ONNX graph in this process, with one thread and only fatal errors logged."""

from __future__ import annotations

import numpy as np
import onnxruntime

from errors import ModelRefused, ScoringFailed
from models.features.columns import Floats
from models.features.frame import Frame

# Workers are processes. More threads per process would compete for the same cores.
_THREADS = 1
_FATAL_ONLY = 4


class Session:
    """A graph that maps `features` [n, f] float32 to scores [n, k]. Thread-safe.

    Raises `ModelRefused` for bytes that are not such a graph.
    """

    def __init__(self, graph: bytes, output: str) -> None:
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _THREADS
        options.inter_op_num_threads = _THREADS
        options.log_severity_level = _FATAL_ONLY
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            self._input = self._session.get_inputs()[0]
            outputs = {one.name: one for one in self._session.get_outputs()}
            self._output = outputs[output].name
        except Exception as error:  # onnxruntime raises own exceptions and built-in ones
            raise ModelRefused(f"model.onnx cannot be loaded: {str(error).splitlines()[0]}") from None
        self.width = int(self._input.shape[1])
        self.targets = int(outputs[output].shape[1])

    def run(self, frame: Frame) -> Floats:
        """Scores [n, k] of a frame [n, f]. Raises `ScoringFailed`. Blocks while the graph runs."""
        try:
            (scores,) = self._session.run([self._output], {self._input.name: np.ascontiguousarray(frame)})
        except Exception as error:
            raise ScoringFailed(f"the model could not score: {str(error).splitlines()[0]}") from None
        if len(scores) != len(frame):
            raise ScoringFailed(f"{len(frame)} rows went in and {len(scores)} scores came out")
        result: Floats = np.asarray(scores, np.float64).reshape(len(frame), -1)
        return result
