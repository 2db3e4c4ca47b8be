"""Request and response schemas of alerts, for validation and `/openapi.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from readings.reading import CHARGER_ID_PATTERN
from readings.schema_fields import Moment
from tasks.storage.alert_records import ALERT_KINDS
from tasks.storage.alert_store import ALERT_STATES, CURSOR_PATTERN
from web.openapi.answer_fields import text as _text
from web.openapi.answer_fields import time as _time
from web.openapi.schemas import MAX_PAGE, PAGE, PageSchema

MAX_TEXT: Final = 500
MAX_NAME: Final = 128
MAX_MUTED_HOURS: Final = 90 * 24
# No control characters, and none that change the direction or the lines of the text around them.
_PLAIN: Final = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069]*$"
_UNTIL: Final[dict[str, Any]] = {
    "description": "ISO 8601, at most 90 days ahead.",
    "example": "2026-12-20T08:30:00Z",
    "type": "string",
    "format": "date-time",
}
_HOURS: Final = validate.Range(min=1, max=MAX_MUTED_HOURS)
_NOT_PLAIN: Final = "Must have no control characters and no line breaks."


def _plain(most: int, description: str, **kwargs: Any) -> fields.String:
    """A text of 1 to `most` characters."""
    return fields.String(
        validate=[
            validate.Length(min=1, max=most),
            validate.Regexp(_PLAIN.replace("$", r"\Z"), error=_NOT_PLAIN),
        ],
        metadata={"description": description, "pattern": _PLAIN},
        **kwargs,
    )


class _Hours(fields.Float):
    """A JSON number, and no text with one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid", input=value)
        for check in self.validators:  # an integer of four hundred digits does not fit a float
            check(value)
        return float(value)


class AcknowledgementSchema(Schema):
    """The JSON body of an acknowledgement."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    note = _plain(MAX_TEXT, "What you found, or will do.", allow_none=True)


class AssignmentSchema(Schema):
    """The JSON body of an assignment."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    to = _plain(MAX_NAME, "A person or team; null ends the assignment.", required=True, allow_none=True)


class MutingSchema(Schema):
    """The JSON body of a muting: its end, as `until` or `hours`, and its reason. `until` takes precedence."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    until = Moment(metadata=_UNTIL)
    hours = _Hours(validate=_HOURS, metadata={"description": "From now."})
    reason = _plain(MAX_TEXT, "Why.", required=True)

    @validates_schema
    def _has_end(self, loaded: dict[str, Any], **_: Any) -> None:
        if not {"until", "hours"} & loaded.keys():
            raise ValidationError("Must have until or hours.")


class MutingUntilSchema(MutingSchema):
    """A muting until a time."""

    until = Moment(required=True, metadata=_UNTIL)


class MutingForHoursSchema(MutingSchema):
    """A muting for some hours."""

    hours = _Hours(required=True, validate=_HOURS, metadata={"description": "From now."})


# One of them describes each valid muting.
MUTINGS: Final[Sequence[type[Schema]]] = (MutingUntilSchema, MutingForHoursSchema)


class AlertVerdictSchema(Schema):
    """The essentials of the verdict that opened or closed an alert."""

    reading_timestamp = _time("When the scored reading was taken.")
    model_version = _text("The version that answered.", required=False)
    failure_probability = fields.Float(metadata={"description": "Failure: within 30 days, 0 to 1."})
    in_failure = fields.Boolean(metadata={"description": "Failure: the reading itself is FAULTY."})
    recommended_action = _text("Failure: the most urgent step's deadline.", required=False)
    top_factor = _text("Failure: the first contributing factor as a sentence.", required=False)
    is_anomaly = fields.Boolean(metadata={"description": "Anomaly: whether the reading is one."})
    anomaly_score = fields.Float(metadata={"description": "Anomaly: 0 to 100."})
    anomaly_type = _text("Anomaly: what kind, if any.", required=False, allow_none=True)


class AcknowledgedSchema(Schema):
    """Who acknowledged an alert."""

    by = _text("The name of the key.")
    at = _time("When.")
    note = _text("The note.", allow_none=True)


class AssignedSchema(Schema):
    """To whom an alert is assigned."""

    to = _text("A person or team.")
    by = _text("The name of the key.")
    at = _time("When.")


class MutedSchema(Schema):
    """Until when an alert is muted."""

    until = _time("The end.")
    reason = _text("Why.")
    by = _text("The name of the key.")
    at = _time("When.")


class AlertSchema(Schema):
    """An alert, and what people did about it."""

    alert_id = _text("As in the alert topics.")
    tenant_id = _text("The tenant.", allow_none=True)
    kind = _text("The verdict that opened it.", validate=validate.OneOf(ALERT_KINDS))
    charger_id = _text("The charger.")
    state = _text("The state of the alert.", validate=validate.OneOf(["open", "closed"]))
    opened_at = _time("When the reading that opened it was taken.", allow_none=True)
    opened_by = _text("The event id of that reading's record.")
    closed_at = _time("When the reading that closed it was taken; null while it is open.", allow_none=True)
    opening = fields.Nested(AlertVerdictSchema, required=True, allow_none=True)
    closing = fields.Nested(AlertVerdictSchema, required=True, allow_none=True)
    acknowledged = fields.Nested(AcknowledgedSchema, required=True, allow_none=True)
    assigned = fields.Nested(AssignedSchema, required=True, allow_none=True)
    muted = fields.Nested(MutedSchema, required=True, allow_none=True)


class AlertEventSchema(Schema):
    """An event in the story of an alert."""

    at = _time("When it was recorded.")
    event = _text("opened, closed, acknowledged, assigned, unassigned, muted or unmuted.")
    by = _text("The name of the key; null for the service.", allow_none=True)
    note = _text("Of an acknowledgement.", required=False, allow_none=True)
    to = _text("Of an assignment.", required=False)
    until = _text("Of a muting.", required=False)
    reason = _text("Of a muting.", required=False)


class AlertWithStorySchema(AlertSchema):
    """An alert with its newest 50 events."""

    story = fields.List(fields.Nested(AlertEventSchema), required=True)


class AlertsQuerySchema(Schema):
    """Query parameters of the list of alerts."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    state = fields.String(load_default="open", validate=validate.OneOf(ALERT_STATES))
    kind = fields.String(validate=validate.OneOf(ALERT_KINDS))
    charger_id = fields.String(
        validate=validate.Regexp(CHARGER_ID_PATTERN, error="Not a charger id."),
        metadata={"pattern": CHARGER_ID_PATTERN.replace("(?!\\n)", "")},
    )
    acknowledged = fields.Boolean(metadata={"description": "Whether somebody has acknowledged it."})
    assigned_to = fields.String(
        validate=validate.Length(min=1, max=MAX_NAME),
        metadata={"description": "The person or team, exactly."},
    )
    muted = fields.Boolean(metadata={"description": "Whether it is muted now."})
    limit = fields.Integer(
        load_default=PAGE,
        validate=validate.Range(min=1, max=MAX_PAGE),
        metadata={"description": "Items a page."},
    )
    cursor = fields.String(
        validate=validate.Regexp(CURSOR_PATTERN.replace("$", r"\Z"), error="Not a cursor."),
        metadata={"description": "`next` of the page before.", "pattern": CURSOR_PATTERN},
    )


class AlertPageSchema(PageSchema):
    """A page of alerts. With filters it may be short, or empty, although `next` leads to more."""

    items = fields.List(fields.Nested(AlertSchema), required=True)
    total = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "How many there are in this state; null with other filters."},
    )
