"""Request and response schemas, for validation and `/openapi.json`. The descriptions state the units."""

from __future__ import annotations

from typing import Final

from marshmallow import EXCLUDE, Schema, fields, validate

from readings.reading import CHARGER_ID_PATTERN
from readings.schema import FIELDS, ReadingSchema
from web.openapi.answer_fields import number as _number
from web.openapi.answer_fields import text as _text
from web.openapi.answer_fields import time as _time

PAGE: Final = 100
MAX_PAGE: Final = 1000
MAX_ROW: Final = 2**31 - 1


class FieldProblemSchema(Schema):
    """A problem of one field."""

    pointer = _text("RFC 6901 pointer into the body, or /query/… and /headers/….")
    detail = _text("What is wrong with this field.")
    code = _text("The same in one word.")


class ProblemSchema(Schema):
    """A problem document (RFC 9457)."""

    type = _text("A URN that names the kind of problem.")
    title = _text("The status in words.")
    status = fields.Integer(required=True)
    detail = _text("What happened, for a person.")
    code = _text("The kind of problem in one word, for a program.")
    request_id = _text("Also in the header X-Request-ID.", allow_none=True)
    errors = fields.List(fields.Nested(FieldProblemSchema), metadata={"description": "For 422."})


class MetricsSchema(ReadingSchema):
    """A reading in an envelope, which may have its `charger_id`."""

    charger_id = fields.String(
        allow_none=True, validate=FIELDS["charger_id"].validate, metadata=FIELDS["charger_id"].metadata
    )


class PredictionRequestSchema(Schema):
    """The JSON body of a single prediction."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    charger_id = fields.String(
        required=True,
        metadata={
            "description": "The charger. Equal to that of `metrics`, where both have one.",
            "example": "EVZ-0042",
            "pattern": CHARGER_ID_PATTERN.replace("(?!\\n)", ""),
        },
    )
    metrics = fields.Nested(MetricsSchema, required=True, metadata={"description": "The reading."})


# The shapes of a single prediction's body, in which `charger_id` stands at least once.
PREDICTION_BODIES: Final = (
    PredictionRequestSchema,
    {"type": "object", "required": ["metrics"], "properties": {"metrics": ReadingSchema}},
    ReadingSchema,
)


class FactorSchema(Schema):
    """A feature that contributes to a failure prediction."""

    factor = _text("What counts, in words.")
    feature = _text("The model's name for it.")
    value = fields.Float(required=True, allow_none=True, metadata={"description": "In `unit`."})
    unit = _text("Of the value; empty for counts.")
    text = _text("Factor, value and unit as a sentence.")
    direction = _text(
        "Whether it raises the probability.", validate=validate.OneOf(["increases", "decreases"])
    )
    weight = _number("Contribution to the 30-day log-odds, against the fleet's base rate.")


class HorizonsSchema(Schema):
    """Failure probabilities, 0 to 1, by horizon."""

    d1 = fields.Float(required=True, data_key="1d", metadata={"description": "Within 1 day."})
    d7 = fields.Float(required=True, data_key="7d", metadata={"description": "Within 7 days."})
    d30 = fields.Float(required=True, data_key="30d", metadata={"description": "Within 30 days."})


class WindowSchema(Schema):
    """The likely period of a failure."""

    start = _time("Earliest likely moment.", allow_none=True)
    end = _time("Latest likely moment.", allow_none=True)


class _VerdictSchema(Schema):
    charger_id = _text("The charger.")
    tenant_id = _text("From X-Tenant-ID.", allow_none=True)
    model_version = _text("The version that answered.")
    reading_timestamp = _time("When the scored reading was taken.")
    timestamp = _time("When it was scored.")
    reading_stale = fields.Boolean(
        required=True, metadata={"description": "The reading was more than 24 hours old when it was scored."}
    )
    cached = fields.Boolean(required=True, metadata={"description": "Answered from the cache."})
    degraded = fields.Boolean(
        required=True, metadata={"description": "Scored by the web process, without history. Not stored."}
    )
    fingerprint = _text("Equal for equal readings; null if `degraded`.", allow_none=True)


class FailurePredictionSchema(_VerdictSchema):
    """A failure prediction."""

    failure_probability = _number("Of a failure within 30 days, 0 to 1.")
    horizons = fields.Nested(HorizonsSchema, required=True)
    predicted_failure_date = _time("Null when failure in 30 days is less likely than not.", allow_none=True)
    predicted_failure_window = fields.Nested(WindowSchema, required=True, allow_none=True)
    confidence = _number("0 to 1; see docs/models.md.")
    recommended_action = _text(
        "When somebody must go. NONE: the ordinary service will do.",
        validate=validate.OneOf(["IMMEDIATE", "WITHIN_7_DAYS", "WITHIN_30_DAYS", "NONE"]),
    )
    recommended_actions = fields.List(
        fields.String(), required=True, metadata={"description": "Steps in order, remote ones first."}
    )
    top_contributing_factors = fields.List(fields.Nested(FactorSchema), required=True)
    in_failure = fields.Boolean(required=True, metadata={"description": "The reading itself is FAULTY."})
    cost_of_waiting = _number(
        "What a visit on the best day within 30 days is expected to save; 0 if none pays. In `currency`."
    )
    currency = _text("ISO 4217.")
    cost_policy = _text("Version of the cost policy and its costs.")


class CostBenefitSchema(Schema):
    """Costs of preventive maintenance and of a failure."""

    preventive_maintenance_cost = _number("Of planned work: visit, parts, lost margin. In `currency`.")
    expected_failure_cost = _number("Of a failure, times its probability within 30 days. In `currency`.")
    net_savings = _number(
        "What planned work on the best day is expected to save; below 0 if it costs more. In `currency`."
    )
    currency = _text("ISO 4217.")


class MaintenanceScheduleSchema(_VerdictSchema):
    """A maintenance recommendation."""

    recommended_date = _time("When a visit is cheapest, or the ordinary service. Never before `timestamp`.")
    worthwhile = fields.Boolean(
        required=True,
        metadata={"description": "Planned work is expected to save money, or the charger has failed."},
    )
    urgency = _text("How soon.", validate=validate.OneOf(["LOW", "MEDIUM", "HIGH", "CRITICAL"]))
    estimated_downtime_hours = _number("Hours out of service: for planned work, or for repair.")
    cost_benefit = fields.Nested(CostBenefitSchema, required=True)
    rationale = fields.List(fields.String(), required=True)


class AnomalyVerdictSchema(_VerdictSchema):
    """An anomaly verdict."""

    is_anomaly = fields.Boolean(required=True)
    anomaly_score = _number("0 to 100.")
    anomaly_type = _text("What kind, if any.", allow_none=True)
    deviation = fields.Dict(
        keys=fields.String(),
        values=fields.Float(),
        required=True,
        metadata={"description": "z of each deviating feature against the training fleet."},
    )


class PredictionQuerySchema(Schema):
    """Query parameters of a single prediction. `web/http/request_bodies.py` reads them."""

    store = fields.Boolean(
        load_default=True,
        metadata={
            "description": "`false` writes nothing to cache, history and fleet store, for a question "
            '"what if". A cached answer is still used.',
            "enum": ["true", "false"],
            "type": "string",
            "default": "true",
        },
    )


class PageQuerySchema(Schema):
    """Query parameters of a page."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    limit = fields.Integer(
        load_default=PAGE,
        validate=validate.Range(min=1, max=MAX_PAGE),
        metadata={"description": "Items a page."},
    )
    cursor = fields.Integer(
        load_default=0,
        validate=validate.Range(min=0, max=MAX_ROW),
        metadata={"description": "`next` of the page before."},
    )


class PageSchema(Schema):
    """A page of items."""

    items = fields.List(fields.Raw(), required=True)
    next = fields.String(
        required=True, allow_none=True, metadata={"description": "Cursor of the next page; null at the end."}
    )
    total = fields.Integer(metadata={"description": "How many there are in all."})


class CheckSchema(Schema):
    """The state of one dependency."""

    status = _text("ok, down or absent.")
    detail = _text("For a person.")


class HealthSchema(Schema):
    """The state of the service. Without a valid key it is `status` alone."""

    status = _text("healthy or degraded.", validate=validate.OneOf(["healthy", "degraded"]))
    service = _text("This service's name.", required=False)
    version = _text("This service's version.", required=False)
    checks = fields.Dict(keys=fields.String(), values=fields.Nested(CheckSchema))
