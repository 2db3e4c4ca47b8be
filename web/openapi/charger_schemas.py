"""Request and response schemas of chargers and their attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, fields, validate

from readings.attributes import MAX_CHARS, AttributesSchema
from readings.reading import STATUSES
from readings.schema import ReadingSchema
from tasks.storage.fleet_query import SORTS
from tasks.storage.fleet_rows import ACTIONS
from tasks.storage.fleet_sites import SITE_SORTS, VISITS
from web.http.cursors import MAX_CHARS as MAX_CURSOR_CHARS
from web.openapi.alert_schemas import AlertSchema
from web.openapi.answer_fields import number as _number
from web.openapi.answer_fields import text as _text
from web.openapi.job_schemas import RowProblemSchema
from web.openapi.schemas import (
    MAX_PAGE,
    PAGE,
    AnomalyVerdictSchema,
    FailurePredictionSchema,
    MaintenanceScheduleSchema,
    PageSchema,
)

# The fields of a charger in the fleet that are null while only its attributes are known.
NULL_WITHOUT_VERDICT: Final = (
    "model_version",
    "reading_timestamp",
    "timestamp",
    "fingerprint",
    "failure_probability",
    "horizons",
    "predicted_failure_date",
    "predicted_failure_window",
    "confidence",
    "recommended_action",
    "cost_of_waiting",
    "currency",
    "cost_policy",
    "connector_status",
)
# Of one filter of a query.
MAX_VALUES: Final = 100


def _both_ways(sorts: Sequence[str]) -> list[str]:
    return [f"{dash}{sort}" for sort in sorts for dash in ("", "-")]


class StoredAttributesSchema(Schema):
    """The attributes that are stored for a charger."""

    charger_id = _text("The charger.")
    attributes = fields.Nested(
        AttributesSchema, required=True, metadata={"description": "Those that are known."}
    )


class AttributeFileSchema(Schema):
    """What became of the rows of a file of attributes."""

    stored = fields.Integer(required=True, metadata={"description": "Rows that are stored."})
    failed = fields.Integer(required=True, metadata={"description": "Rows that are wrong, and not stored."})
    errors = fields.List(
        fields.Nested(RowProblemSchema), required=True, metadata={"description": "Of the first wrong rows."}
    )
    ignored_columns = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Columns that are no attribute, as in a job."},
    )


def _any_of(description: str, values: Sequence[str] = ()) -> fields.List[str]:
    """A filter that may be repeated. Of a closed set of values any other is refused."""
    checks = [validate.OneOf(values)] if values else [validate.Length(max=MAX_CHARS)]
    return fields.List(
        fields.String(validate=checks),
        validate=validate.Length(max=MAX_VALUES),
        metadata={"description": f"{description} Repeated, any of the values counts."},
    )


class _OrderedPageQuerySchema(Schema):
    """Query parameters of a page of a list that is ordered by a value."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    limit = fields.Integer(
        load_default=PAGE,
        validate=validate.Range(min=1, max=MAX_PAGE),
        metadata={"description": "Items a page."},
    )
    cursor = fields.String(
        load_default="0",
        validate=validate.Length(min=1, max=MAX_CURSOR_CHARS),
        metadata={"description": "`next` of the page before, in the same `sort`."},
    )


class FleetQuerySchema(_OrderedPageQuerySchema):
    """Query parameters of the fleet."""

    site = _any_of("Chargers of this site.")
    vendor = _any_of("Chargers of this manufacturer.")
    model = _any_of("Chargers of this model.")
    firmware = _any_of("Chargers with this version of the firmware.")
    status = _any_of("Chargers whose newest reading has this connector status.", STATUSES)
    action = _any_of("Chargers with this recommended action.", ACTIONS)
    min_risk = fields.Float(
        load_default=0.0,
        validate=validate.Range(min=0, max=1),
        metadata={"description": "Chargers with at least this probability of a failure within 30 days."},
    )
    scored = fields.Boolean(
        truthy={"true"},
        falsy={"false"},
        metadata={
            "description": "`true`: chargers with a verdict. `false`: those of which only attributes are "
            "known. Both without it.",
            "enum": ["true", "false"],
            "type": "string",
        },
    )
    q = fields.String(
        validate=validate.Length(min=1, max=MAX_CHARS),
        metadata={"description": "Chargers with this text in their id, name or site, in any case."},
    )
    sort = fields.String(
        load_default="risk",
        validate=validate.OneOf(_both_ways(SORTS)),
        metadata={
            "description": "`risk`, `reading_timestamp` and `cost_of_waiting` begin with the highest, "
            "`charger_id` and `site` with the lowest; a dash before the name turns the order round. Equal "
            "chargers are sorted by id, those without the value are last."
        },
    )


class SitesQuerySchema(_OrderedPageQuerySchema):
    """Query parameters of the sites."""

    sort = fields.String(
        load_default="risk",
        validate=validate.OneOf(_both_ways(SITE_SORTS)),
        metadata={
            "description": "`risk`, `chargers` and `cost_of_waiting` begin with the highest, `site_id` with "
            "the lowest; a dash before the name turns the order round. Equal sites are sorted by id."
        },
    )


class FleetChargerSchema(FailurePredictionSchema):
    """A charger of the fleet: its newest failure prediction, and what is known of it.

    Without a prediction its fields are null, lists are empty, and flags are false.
    """

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Let the fields of a prediction be null."""
        if field_name in NULL_WITHOUT_VERDICT:
            field_obj.allow_none = True

    attributes = fields.Nested(
        AttributesSchema, required=True, metadata={"description": "Those that are known."}
    )
    connector_status = _text("Of the newest reading.", validate=validate.OneOf(STATUSES))
    reading_stale = fields.Boolean(
        required=True,
        metadata={"description": "The newest reading is older than 24 hours. False without one."},
    )


class FleetPageSchema(PageSchema):
    """A page of the fleet."""

    items = fields.List(fields.Nested(FleetChargerSchema), required=True)


class ChargerSchema(StoredAttributesSchema):
    """All that is known of a charger."""

    newest_reading = fields.Nested(
        ReadingSchema,
        required=True,
        allow_none=True,
        metadata={"description": "As it was scored, with its own time; null without one."},
    )
    failure = fields.Nested(
        FailurePredictionSchema,
        required=True,
        allow_none=True,
        metadata={"description": "The newest failure prediction; null without one."},
    )
    maintenance = fields.Nested(
        MaintenanceScheduleSchema,
        required=True,
        allow_none=True,
        metadata={"description": "The cached schedule, or one of the newest reading; null without both."},
    )
    anomaly = fields.Nested(
        AnomalyVerdictSchema,
        required=True,
        allow_none=True,
        metadata={"description": "The cached verdict, or one of the newest reading; null without both."},
    )
    reading_stale = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": "The newest reading is older than 24 hours; null without one."},
    )
    open_alerts = fields.List(
        fields.Nested(AlertSchema), required=True, metadata={"description": "The newest first, at most 20."}
    )


_VISIT: Final = fields.Integer(required=True, metadata={"description": "Chargers with this action."})
VisitsDueSchema: Final = Schema.from_dict(dict.fromkeys(VISITS, _VISIT), name="VisitsDueSchema")


class SiteSchema(Schema):
    """The chargers of a site."""

    site_id = _text("The site; null for all chargers without one.", allow_none=True)
    chargers = fields.Integer(
        required=True, metadata={"description": "With a newest verdict, or with attributes alone."}
    )
    highest_risk = _number(
        "The highest probability of a failure within 30 days, 0 to 1; null if no charger has a verdict.",
        allow_none=True,
    )
    visits_due = fields.Nested(VisitsDueSchema, required=True)
    cost_of_waiting = _number(
        "Sum of the positive net savings of visits; null if none are known. In `currency`.", allow_none=True
    )
    currency = _text("ISO 4217, as configured; null without costs.", allow_none=True)
    other_currency = fields.Integer(
        required=True,
        metadata={"description": "Chargers whose costs are in another currency, and not in the sum."},
    )


class SitePageSchema(PageSchema):
    """A page of sites."""

    items = fields.List(fields.Nested(SiteSchema), required=True)
