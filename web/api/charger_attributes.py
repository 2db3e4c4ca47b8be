"""`PUT /api/v1/chargers/{id}`: state the attributes of a charger."""

from __future__ import annotations

from typing import Final

import orjson
from flask_smorest import Blueprint

from readings.attributes import AttributesSchema, known
from tasks.storage.charger_attributes import Statement
from web.http.messages import Response, current_request
from web.http.paths import CHARGER_ID, check_charger_id
from web.http.request_bodies import loaded_body
from web.http.roles import needs
from web.http.services import services
from web.openapi import charger_schemas
from web.openapi.decorators import refuses, takes

blueprint = Blueprint(
    "charger_attributes", __name__, url_prefix="/api/v1/chargers", description="What is known of a charger."
)

_ATTRIBUTES: Final = AttributesSchema()


@blueprint.route("/<string:charger_id>", methods=["PUT"], parameters=[CHARGER_ID])
@takes(blueprint, AttributesSchema)
@blueprint.response(200, charger_schemas.StoredAttributesSchema)
@refuses(blueprint, 400, 408, 413, 415, 507)
@needs("predict")
def state_attributes(charger_id: str) -> Response:
    """Replace all attributes of a charger; those that are left out are removed"""
    check_charger_id(charger_id)
    values = known(loaded_body(_ATTRIBUTES))
    services().check_room()
    services().attributes.state([Statement(current_request().tenant, charger_id, values, is_whole=True)])
    body = orjson.dumps({"charger_id": charger_id, "attributes": values})
    return Response(body, content_type="application/json")
