"""`POST /api/v1/chargers`: state the attributes of many chargers in a CSV file."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any, Final

import orjson
from flask_smorest import Blueprint

from errors import UnsupportedMediaType
from tasks.jobs.chunks import ERRORS_SHOWN
from tasks.monitoring import watermarks
from tasks.storage.charger_attributes import Statement
from web.http.messages import Response, current_request
from web.http.roles import needs
from web.http.services import services
from web.http.streaming import check_length
from web.openapi import charger_schemas
from web.openapi.decorators import refuses, takes, takes_headers
from web.openapi.header_schemas import FileHeadersSchema
from web.uploads.attribute_rows import attribute_rows
from web.uploads.upload import received

blueprint = Blueprint(
    "charger_files", __name__, url_prefix="/api/v1/chargers", description="What is known of many chargers."
)

_FILES: Final = {
    "text/csv": "RFC 4180 in UTF-8, a header with `charger_id` and names of attributes (schema Attributes). "
    "Several `connector_types` have `;` between them. An empty cell removes the attribute; an attribute "
    "without a column stays as it is. Of several rows of a charger the last one counts.",
}


@blueprint.route("", methods=["POST"])
@takes(blueprint, None, _FILES)
@takes_headers(blueprint, FileHeadersSchema)
@blueprint.response(200, charger_schemas.AttributeFileSchema)
@refuses(blueprint, 400, 408, 413, 415, 507)
@needs("predict")
def state_attributes_of_many() -> Response:
    """Store the attributes of many chargers from a file; a wrong row stops no other"""
    request, held = current_request(), services()
    if request.mimetype != "text/csv":
        raise UnsupportedMediaType("Send Content-Type: text/csv.")
    held.check_room()
    check_length(request)
    stored = failed = 0
    errors: list[dict[str, Any]] = []
    check_disk = partial(watermarks.check_disk, held.settings)
    with received(request, held.settings.max_batch_bytes, check_disk) as upload:
        for rows in attribute_rows(upload, held.settings.max_batch_rows):
            held.attributes.state(
                [Statement(request.tenant, row.charger_id, row.values) for row in rows if not row.problems]
            )
            wrong = [row for row in rows if row.problems]
            for row in wrong[: max(0, ERRORS_SHOWN - failed)]:
                errors += ({"row": row.number, **asdict(problem)} for problem in row.problems)
            failed += len(wrong)
            stored += len(rows) - len(wrong)
    counts = {"stored": stored, "failed": failed, "errors": errors}
    body = orjson.dumps({**counts, "ignored_columns": upload.ignored_columns})
    return Response(body, content_type="application/json")
