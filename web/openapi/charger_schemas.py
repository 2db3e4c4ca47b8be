"""Request and response schemas of chargers and their attributes."""

from __future__ import annotations

from marshmallow import Schema, fields

from readings.attributes import AttributesSchema
from web.openapi.answer_fields import text as _text
from web.openapi.job_schemas import RowProblemSchema


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
