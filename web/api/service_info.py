"""`/api/v1/service`: name and version of the service, and how a caller reaches it through Kafka."""

from __future__ import annotations

from typing import Any

import orjson
from flask_smorest import Blueprint

from settings import SERVICE, VERSION, Settings
from web.http.messages import Response
from web.http.roles import needs
from web.http.services import services
from web.openapi import service_schemas
from web.openapi.decorators import refuses

blueprint = Blueprint("service", __name__, url_prefix="/api/v1/service", description="How to reach it.")


@blueprint.route("")
@blueprint.response(200, service_schemas.ServiceInfoSchema)
@refuses(blueprint)
@needs("read")
def show_service() -> Response:
    """Name, version, and the brokers, topics and consumer group of the service"""
    return Response(orjson.dumps(_described(services().settings)), content_type="application/json")


def _described(settings: Settings) -> dict[str, Any]:
    """Only fields that hold no secret: no key, no user, no password, no URL of Redis."""
    has_password = settings.kafka_security_protocol.startswith("SASL")
    return {
        "service": SERVICE,
        "version": VERSION,
        "kafka": {
            "bootstrap_servers": settings.kafka_servers,
            "security_protocol": settings.kafka_security_protocol,
            "sasl_mechanism": settings.kafka_sasl_mechanism if has_password else None,
            "group_id": settings.kafka_group_id,
            "topics": {
                "readings": settings.kafka_topic_metrics,
                "predictions": settings.kafka_topic_predictions,
                "dead_letters": settings.kafka_topic_dead_letters,
                "alerts": settings.kafka_topic_failure_alerts,
                "anomalies": settings.kafka_topic_anomalies,
                "ocpp_events": settings.kafka_topic_ocpp if settings.ocpp_wanted else None,
            },
        },
    }
