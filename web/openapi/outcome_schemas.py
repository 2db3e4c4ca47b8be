"""Request and response schemas of outcomes, for validation and `/openapi.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from readings.reading import CHARGER_ID_PATTERN
from readings.schema_fields import Moment
from tasks.storage.outcomes import OUTCOMES
from web.openapi.answer_fields import number as _number
from web.openapi.answer_fields import text as _text
from web.openapi.answer_fields import time as _time
from web.openapi.schemas import PageQuerySchema, PageSchema

_MOMENT: Final[dict[str, Any]] = {
    "description": "ISO 8601.",
    "example": "2026-11-20T08:30:00Z",
    "type": "string",
    "format": "date-time",
}


class OutcomeSchema(Schema):
    """The JSON body of a reported outcome."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    charger_id = fields.String(
        required=True,
        validate=validate.Regexp(CHARGER_ID_PATTERN, error="Not a charger id."),
        metadata={"example": "EVZ-0042", "pattern": CHARGER_ID_PATTERN.replace("(?!\\n)", "")},
    )
    outcome = fields.String(required=True, validate=validate.OneOf(OUTCOMES))
    occurred_at = Moment(required=True, metadata=_MOMENT)


class OutcomeCorrectionSchema(Schema):
    """The JSON body of a correction: one of the fields, or both."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    outcome = fields.String(validate=validate.OneOf(OUTCOMES))
    occurred_at = Moment(metadata=_MOMENT)

    @validates_schema
    def _not_empty(self, loaded: dict[str, Any], **_: Any) -> None:
        if not loaded:
            raise ValidationError("Must have outcome, occurred_at, or both.")


class OutcomeKindCorrectionSchema(OutcomeCorrectionSchema):
    """A correction of what happened, and perhaps of its time."""

    outcome = fields.String(required=True, validate=validate.OneOf(OUTCOMES))


class OutcomeTimeCorrectionSchema(OutcomeCorrectionSchema):
    """A correction of the time, and perhaps of what happened."""

    occurred_at = Moment(required=True, metadata=_MOMENT)


# One of them describes each valid correction.
CORRECTIONS: Final[Sequence[type[Schema]]] = (OutcomeKindCorrectionSchema, OutcomeTimeCorrectionSchema)


class ReportedOutcomeSchema(Schema):
    """A stored outcome, and what is known of the verdict before it."""

    outcome_id = _text("Names the outcome in the other calls.")
    charger_id = _text("The charger.")
    outcome = _text("What happened.")
    occurred_at = _time("When it happened.")
    verdict_known = fields.Boolean(
        required=True, metadata={"description": "Whether a verdict of the 30 days before is stored."}
    )
    alerted = fields.Boolean(
        required=True, metadata={"description": "Whether that verdict asked for action within 7 days."}
    )


class OutcomeAcceptedSchema(ReportedOutcomeSchema):
    """A stored outcome, as its report is answered."""

    called = fields.Boolean(
        required=True,
        metadata={"description": "The same as `alerted`, which replaces it.", "deprecated": True},
    )


class OutcomesQuerySchema(PageQuerySchema):
    """Query parameters of the list of outcomes."""

    charger_id = fields.String(metadata={"description": "Only those of this charger."})


class OutcomePageSchema(PageSchema):
    """A page of outcomes."""

    items = fields.List(fields.Nested(ReportedOutcomeSchema), required=True)


class EstimateSchema(Schema):
    """An expected share with its limits."""

    value = _number("Expected, 0 to 1.")
    low = _number("The realised share is at least this, with probability `coverage` for both limits.")
    high = _number("The realised share is at most this.")


class ExpectedQualitySchema(Schema):
    """The quality of the alerts of this moment, expected from the probabilities alone."""

    threshold = _number("The alert threshold in force; null if there is none.", allow_none=True)
    reason = _text("Why there is no threshold.", allow_none=True)
    coverage = _number("Probability of the limits.")
    chargers = fields.Integer(required=True, metadata={"description": "Not FAULTY, with a verdict."})
    alerts = fields.Integer(required=True, metadata={"description": "From the threshold on."})
    precision = fields.Nested(EstimateSchema, required=True, allow_none=True)
    recall = fields.Nested(EstimateSchema, required=True, allow_none=True)
    pr_auc = fields.Nested(EstimateSchema, required=True, allow_none=True)


class LiveQualitySchema(Schema):
    """The quality of verdicts by reported outcomes."""

    outcomes = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    without_verdict = fields.Integer(required=True)
    precision = _number("Alerts that came true, of those reported on.", allow_none=True)
    recall = _number("Failures that had been alerted.", allow_none=True)
    median_lead_hours = _number("From the alerting reading to the failure.", allow_none=True)
    calibration = fields.List(fields.Raw(), required=True)
    expected = fields.Nested(ExpectedQualitySchema, required=True)
