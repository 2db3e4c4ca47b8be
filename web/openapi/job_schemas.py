"""Request and response schemas of batch jobs, for validation and `/openapi.json`."""

from __future__ import annotations

from marshmallow import EXCLUDE, Schema, fields, validate

from readings.schema_fields import Moment
from tasks.jobs.job_record import JOB_KINDS, LISTED_KINDS, MAX_COLUMN_NAME_CHARS, MAX_IGNORED_COLUMNS
from tasks.jobs.job_record import STATUSES as JOB_STATUSES
from web.openapi.answer_fields import number as _number
from web.openapi.answer_fields import text as _text
from web.openapi.answer_fields import time as _time
from web.openapi.schemas import (
    MAX_ROW,
    FieldProblemSchema,
    PageQuerySchema,
    PageSchema,
)


class BatchRequestSchema(Schema):
    """The JSON body of a batch."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    chargers = fields.List(
        fields.Raw(),
        required=True,
        validate=validate.Length(min=1),
        metadata={
            "description": "Readings: flat (schema Reading), or in an envelope (schema PredictionRequest). "
            "One that is wrong becomes a failed row and does not stop the others.",
            "example": [{"charger_id": "EVZ-0042", "connector_status": "CHARGING", "temperature": 41.0}],
        },
    )


class BatchQuerySchema(Schema):
    """Query parameters of a batch."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    kind = fields.String(
        load_default="failure",
        validate=validate.OneOf(JOB_KINDS),
        metadata={"description": "Which verdicts; `all`: each row has all three."},
    )
    store = fields.Boolean(
        truthy={"true"},
        falsy={"false"},
        metadata={
            "description": "Write the verdicts to cache and fleet store. Default: true for a JSON body, "
            "false for files.",
            "enum": ["true", "false"],
            "type": "string",
        },
    )
    history = fields.Boolean(
        load_default=False,
        truthy={"true"},
        falsy={"false"},
        metadata={
            "description": "Add the readings to the readings' history, by their own times, so that later "
            "predictions know them. Rows of one job do not see each other.",
            "enum": ["true", "false"],
            "type": "string",
            "default": "false",
        },
    )


class RowProblemSchema(FieldProblemSchema):
    """A problem of one field of one row."""

    row = fields.Integer(required=True, metadata={"description": "Of the input, counted from 0."})


class JobSchema(Schema):
    """The status and progress of a job."""

    job_id = _text("Names the job in the other calls.")
    tenant_id = _text("From X-Tenant-ID.", allow_none=True)
    kind = _text("What was asked.", validate=validate.OneOf(LISTED_KINDS))
    status = _text("Where it stands.", validate=validate.OneOf(JOB_STATUSES))
    total = fields.Integer(required=True, metadata={"description": "Rows."})
    done = fields.Integer(required=True, metadata={"description": "Rows with a result or an error."})
    failed = fields.Integer(required=True, metadata={"description": "Rows whose result is an error."})
    progress = _number("0 to 1.")
    created_at = _time("Accepted.")
    started_at = _time("First chunk begun.", allow_none=True)
    finished_at = _time("Ended.", allow_none=True)
    rows_per_second = _number(
        "Rows done a second: of late while the job runs, of the whole run once it has ended.", allow_none=True
    )
    eta_seconds = _number("Seconds until the end at the rate of late.", allow_none=True)
    expires_at = _time(
        "When the job and its results are deleted: `ML_JOB_RETENTION` seconds after its last results."
    )
    ignored_columns = fields.List(
        fields.String(),
        required=True,
        metadata={
            "description": f"Columns of a CSV or Parquet file that no field has the name of: the first "
            f"{MAX_IGNORED_COLUMNS} names, {MAX_COLUMN_NAME_CHARS} characters of each."
        },
    )
    errors = fields.List(
        fields.Nested(RowProblemSchema),
        required=True,
        metadata={"description": "The first problems of rows; each failed row has its own in the results."},
    )
    waiting_for = fields.String(
        allow_none=True,
        metadata={"description": "Of an erasure that has not ended: what its next step waits for."},
    )


class BatchResultSchema(Schema):
    """The results of a batch whose caller waited."""

    job_id = _text("The job.")
    predictions = fields.List(fields.Raw(), required=True)
    total = fields.Integer(required=True)
    timestamp = _time("When the job ended.")


class JobsQuerySchema(PageQuerySchema):
    """Query parameters of the list of jobs."""

    status = fields.String(validate=validate.OneOf(JOB_STATUSES), metadata={"description": "Only these."})
    kind = fields.String(validate=validate.OneOf(LISTED_KINDS), metadata={"description": "Only these."})
    created_after = Moment(
        metadata={
            "description": "ISO 8601; at that moment or later.",
            "example": "2026-11-20T08:30:00Z",
            "type": "string",
            "format": "date-time",
        },
    )


class ResultsQuerySchema(PageQuerySchema):
    """Query parameters of the results of a job."""

    limit = fields.Integer(
        validate=validate.Range(min=1, max=MAX_ROW),
        metadata={
            "description": "Rows. A page of JSON: 100 if not said, at most 1,000 (more is 422). Other "
            "formats: all that are done if not said."
        },
    )
    columns = fields.String(
        metadata={
            "description": "Fields of a row that are returned, with commas between them; all if not said. "
            "Names with dots choose what lies deeper, as in CSV: `failure_probability,horizons.7d`. "
            "A name that no row of the job's kind has is 422.",
            "example": "row,charger_id,error.detail",
        },
    )
    cursor = fields.Integer(
        load_default=0,
        validate=validate.Range(min=0, max=MAX_ROW),
        metadata={"description": "The row to begin with: `next` of the page before."},
    )


class JobPageSchema(PageSchema):
    """A page of jobs."""

    items = fields.List(fields.Nested(JobSchema), required=True)
