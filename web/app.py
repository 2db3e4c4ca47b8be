"""`create_app`: the Flask application with its blueprints, error handler and documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from flask_smorest import Api
from flask_swagger_ui import get_swaggerui_blueprint

from settings import Settings
from web.api import (
    batch,
    chargers,
    drift,
    health,
    job_events,
    jobs,
    models,
    outcomes,
    predictions,
    results,
    shadow,
)
from web.http import access, errors, messages
from web.http.connection import connect
from web.http.messages import current_request
from web.http.services import EXTENSION, Services
from web.openapi.schemas import ProblemSchema

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

FIRST_LOOK_S: Final = 1.5


def create_app(settings: Settings) -> Flask:
    """The application. Connects to nothing that must be there: it starts, and says so, with Redis down."""
    app = _Application("evzone-ml", static_folder=None)
    app.config.update(
        API_TITLE="EVzone ML Service",
        API_VERSION=health.VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
        # Flask's own limit; views of single predictions lower it.
        MAX_CONTENT_LENGTH=settings.max_batch_bytes,
    )
    # No redirects, whose bodies are HTML: /docs answers itself, and // is not found.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    shared = app.extensions[EXTENSION] = Services(settings)
    _measure(app)
    access.register(app, shared.access)
    api = _DocumentedApi(app, spec_kwargs={"info": {"description": _DESCRIPTION}, **_SECURITY})
    for blueprint in (
        predictions.blueprint,
        batch.blueprint,
        jobs.blueprint,
        results.blueprint,
        job_events.blueprint,
        chargers.blueprint,
        models.blueprint,
        drift.blueprint,
        shadow.blueprint,
        outcomes.blueprint,
        health.blueprint,
    ):
        api.register_blueprint(blueprint)
    api.spec.components.security_scheme(
        "ApiKey", {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "From your .env."}
    )
    app.register_blueprint(get_swaggerui_blueprint("/docs", "/openapi.json", config=_API_PAGE))
    errors.register(app)
    shared.monitor.wait_first(FIRST_LOOK_S)
    return app


class _NoSessions(SessionInterface):
    """The API keeps nothing between requests; Flask's signed cookies cost each of them all the same."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._none


class _Application(Flask):
    session_interface = _NoSessions()
    request_class = messages.Request
    response_class = messages.Response

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        connect(environ)
        return super().wsgi_app(environ, start_response)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Every view and hook here is synchronous; Flask would look anew, 17 times for each request."""
        return func

    def make_default_options_response(self) -> Response:
        """`Allow` of the very route: `/predictions/failure` takes POST, though a charger may be called so."""
        response = super().make_default_options_response()
        del response.headers["Content-Type"]  # there is no body
        rule = current_request().url_rule
        if rule is not None and rule.methods is not None:
            response.allow.clear()
            response.allow.update(rule.methods)
        return response


class _DocumentedApi(Api):
    """flask-smorest without its own error body (see `http/errors.py`) and pages (see `http/paging.py`)."""

    def _register_error_handlers(self) -> None:
        """Nothing: registered once, for every error, in `web/http/errors.py`."""

    def _register_responses(self) -> None:
        """The one that every operation may give besides those that it names."""
        content = {errors.PROBLEM_TYPE: {"schema": ProblemSchema}}
        answer = {"description": "Any other problem; see `code`.", "content": content}
        self.spec.components.response(self.DEFAULT_ERROR_RESPONSE_NAME, answer)

    def _register_pagination_header(self) -> None:
        """Nothing: no answer has it."""


_DESCRIPTION: Final = (
    "Predictive maintenance for EV chargers. Errors are RFC 9457 problem documents; every response carries "
    "`X-Request-ID`: the request's, or a new one. Times are RFC 3339 in UTC."
)
# Swagger UI would send the address of the specification to a validator of its makers.
_API_PAGE: Final[dict[str, Any]] = {"app_name": "EVzone ML Service", "validatorUrl": None}
_SECURITY: Final[dict[str, Any]] = {"security": [{"ApiKey": []}]}


def _measure(app: Flask) -> None:
    def observe(response: Response) -> Response:
        request = current_request()
        access.count(
            request.endpoint or "none",
            request.method,
            response.status_code,
            request.started,
            path=request.path,
            request_id=request.request_id,
            tenant=request.tenant,
        )
        return response

    app.after_request(observe)
