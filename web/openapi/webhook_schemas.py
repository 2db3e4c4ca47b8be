"""Request and response schemas of webhooks, for validation and `/openapi.json`."""

from __future__ import annotations

from typing import Final

from marshmallow import EXCLUDE, Schema, fields, validate

from tasks.notify.cloud_events import TYPES
from tasks.notify.targets import MAX_URL_CHARS
from web.openapi.answer_fields import text as _text
from web.openapi.answer_fields import time as _time
from web.openapi.schemas import PageSchema

STATES: Final = ("active", "disabled")


class NewWebhookSchema(Schema):
    """The JSON body that adds a webhook."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    url = fields.String(
        required=True,
        validate=validate.Length(min=1, max=MAX_URL_CHARS),
        metadata={
            "description": "Events are sent here by POST. Its addresses must be public.",
            "example": "https://example.com/hooks/ml",
        },
    )
    types = fields.List(
        fields.String(validate=validate.OneOf(TYPES)),
        required=True,
        validate=validate.Length(min=1, max=4 * len(TYPES)),
        metadata={"description": "Types of the events that are sent.", "example": ["job.ended"]},
    )


class WebhookTotalsSchema(Schema):
    """Numbers since the webhook was added."""

    delivered = fields.Integer(required=True, metadata={"description": "Events."})
    failed = fields.Integer(required=True, metadata={"description": "Attempts, not events."})
    parked = fields.Integer(required=True, metadata={"description": "Events without further attempts."})
    dropped = fields.Integer(
        required=True,
        metadata={"description": "Events for which the outbox had no room, or parked too long."},
    )


class WebhookSchema(Schema):
    """A webhook without its secret."""

    id = _text("Names the webhook in the other calls.")
    url = _text("Events are sent here.")
    types = fields.List(fields.String(), required=True)
    tenant_id = _text("Events of this tenant only; null: events of all tenants.", allow_none=True)
    created_at = _time("When it was added.")
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    reason = _text("Why it is disabled; null while it is active.", allow_none=True)
    outbox = fields.Integer(
        required=True, metadata={"description": "Events that wait for their next attempt."}
    )
    parked = fields.Integer(required=True, metadata={"description": "Events that are parked now."})
    totals = fields.Nested(WebhookTotalsSchema, required=True)


class NewWebhookAnswerSchema(WebhookSchema):
    """A webhook that was added, with its secret."""

    secret = _text("Verifies the signatures. It is shown once.")


class WebhookPageSchema(PageSchema):
    """The webhooks."""

    items = fields.List(fields.Nested(WebhookSchema), required=True)


class FailureSchema(Schema):
    """An event that was not delivered yet, or was given up."""

    event_id = _text("The id of the event, which is `webhook-id` of each attempt.")
    type = _text("The type of the event.")
    tenant_id = _text("The tenant of the event; null without one.", allow_none=True)
    time = _time("When it happened.")
    state = fields.String(required=True, validate=validate.OneOf(("waiting", "parked")))
    attempts = fields.Integer(required=True, metadata={"description": "Failed attempts."})
    error = _text("Of the last attempt.", allow_none=True)
    next_attempt_at = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "When it is tried again; null if it is parked.", "format": "date-time"},
    )


class FailurePageSchema(PageSchema):
    """A page of failed events."""

    items = fields.List(fields.Nested(FailureSchema), required=True)


class ReplayQuerySchema(Schema):
    """Query parameters of a replay."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    event_id = fields.String(
        validate=validate.Length(min=1, max=200), metadata={"description": "Only this event; without it all."}
    )


class ReplaySchema(Schema):
    """The result of a replay."""

    replayed = fields.Integer(required=True, metadata={"description": "Parked events that are sent again."})
