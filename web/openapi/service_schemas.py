"""Response schemas of `/api/v1/service`."""

from __future__ import annotations

from marshmallow import Schema, fields

from web.openapi.answer_fields import text as _text


class KafkaTopicsSchema(Schema):
    """Names of the topics."""

    readings = _text("Readings to score are sent here.")
    predictions = _text("A failure prediction of each reading.")
    dead_letters = _text("Records that could not be read or scored.")
    alerts = _text("Failure alerts that open and close.")
    anomalies = _text("Anomaly alerts that open and close.")
    ocpp_events = _text("OCPP events are sent here; null if the service reads none.", allow_none=True)


class KafkaInfoSchema(Schema):
    """How a caller reaches the service through Kafka. Credentials are the caller's own."""

    bootstrap_servers = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "host:port of the brokers, as the service itself reaches them."},
    )
    security_protocol = _text("PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.")
    sasl_mechanism = _text("The SASL mechanism; null without SASL.", allow_none=True)
    group_id = _text("The consumer group of the service. Readers of results need another one.")
    topics = fields.Nested(KafkaTopicsSchema, required=True)


class ServiceInfoSchema(Schema):
    """The service, for its callers."""

    service = _text("This service's name.")
    version = _text("This service's version.")
    kafka = fields.Nested(KafkaInfoSchema, required=True)
