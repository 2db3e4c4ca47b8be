"""Client of the EVzone ML Service.

    from evzone_ml_client import MLClient

    with MLClient.from_env() as ml:
        prediction = ml.predict_failure({"charger_id": "EVZ-0042", "connector_status": "CHARGING"})

`AsyncMLClient` has the same calls for an event loop. `evzone_ml_client.schemas` has the types of requests and
responses.
"""

from evzone_ml_client.async_client import AsyncMLClient
from evzone_ml_client.downloads import Saved
from evzone_ml_client.errors import (
    InvalidSettings,
    JobNotFinished,
    MLClientError,
    NotFound,
    RequestRejected,
    ServiceUnavailable,
)
from evzone_ml_client.events import JobEvent
from evzone_ml_client.retries import Retry
from evzone_ml_client.settings import Settings
from evzone_ml_client.stale import StalePrediction
from evzone_ml_client.sync_client import MLClient
from evzone_ml_client.version import __version__

__all__ = [
    "AsyncMLClient",
    "InvalidSettings",
    "JobEvent",
    "JobNotFinished",
    "MLClient",
    "MLClientError",
    "NotFound",
    "RequestRejected",
    "Retry",
    "Saved",
    "ServiceUnavailable",
    "Settings",
    "StalePrediction",
    "__version__",
]
