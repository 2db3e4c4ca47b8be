# Types of the part of flask-swagger-ui that is used here; the package ships none.
from typing import Any

from flask import Blueprint

def get_swaggerui_blueprint(
    base_url: str, api_url: str, config: dict[str, Any] | None = ...
) -> Blueprint: ...
