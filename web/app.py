"""The Flask application with its blueprints, error handlers and OpenAPI pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from flask_smorest import Api
from flask_swagger_ui import get_swaggerui_blueprint

from settings import VERSION, Settings
from web.api import (
    alert_records,
    audit,
    batch,
    charger_attributes,
    charger_files,
    chargers,
    drift,
    erasures,
    health,
    job_events,
    jobs,
    models,
    outcomes,
    predictions,
    results,
    service_info,
    shadow,
    sites,
    webhooks,
)
from web.console import (
    alerts_page,
    audit_page,
    charger_page,
    dead_letters_page,
    fleet_page,
    jobs_page,
    keys_page,
    login_pages,
    models_page,
    pages,
    system_page,
    today_page,
    webhooks_page,
)
from web.http import access, errors, messages
from web.http.addresses import held_until_sent
from web.http.connection import connect
from web.http.messages import current_request
from web.http.services import EXTENSION, Services
from web.openapi.schemas import ProblemSchema

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

FIRST_LOOK_S: Final = 1.5


def create_app(settings: Settings) -> Flask:
    """Create the application. Starts without Redis, and reports the state in `/health`.

    Blocks for at most 1.5 s, for the first health check.
    """
    app = _Application("evzone-ml", static_folder=None, template_folder=str(pages.TEMPLATES))
    app.config.update(
        API_TITLE="EVzone ML Service",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
        # Flask's limit; views of single predictions lower it.
        MAX_CONTENT_LENGTH=settings.max_batch_bytes,
    )
    # No redirects: their bodies are HTML. /docs is served directly, and // is not found.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    shared = app.extensions[EXTENSION] = Services(settings)
    api = _DocumentedApi(app, spec_kwargs={"info": {"description": _DESCRIPTION}, **_SECURITY})
    for blueprint in (
        predictions.blueprint,
        batch.blueprint,
        jobs.blueprint,
        results.blueprint,
        job_events.blueprint,
        chargers.blueprint,
        charger_attributes.blueprint,
        sites.blueprint,
        charger_files.blueprint,
        models.blueprint,
        drift.blueprint,
        shadow.blueprint,
        outcomes.blueprint,
        service_info.blueprint,
        health.blueprint,
        audit.blueprint,
        erasures.blueprint,
        webhooks.blueprint,
        alert_records.blueprint,
    ):
        api.register_blueprint(blueprint)
    api.spec.components.security_scheme(
        "ApiKey", {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "From your .env."}
    )
    app.register_blueprint(get_swaggerui_blueprint("/docs", "/openapi.json", config=_API_PAGE))
    pages.register(
        app,
        (
            login_pages.blueprint,
            login_pages.with_session,
            today_page.blueprint,
            alerts_page.blueprint,
            jobs_page.blueprint,
            models_page.blueprint,
            system_page.blueprint,
            keys_page.blueprint,
            audit_page.blueprint,
            webhooks_page.blueprint,
            dead_letters_page.blueprint,
            fleet_page.blueprint,
            charger_page.blueprint,
        ),
    )
    _measure(app)
    access.register(app, shared.access, shared.audit)
    errors.register(app)
    shared.monitor.wait_first(FIRST_LOOK_S)
    return app


def serve_admin_port(app: Flask) -> None:
    """Start the admin port of a web process. Does not block."""
    shared: Services = app.extensions[EXTENSION]
    shared.admin_port.start()


class _NoSessions(SessionInterface):
    """No sessions: the API keeps no state between requests. Flask's signed cookies slow every request."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._none


class _Application(Flask):
    session_interface = _NoSessions()
    request_class = messages.Request
    response_class = messages.Response

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        connect(environ)
        shared: Services = self.extensions[EXTENSION]
        # `web/fast_path.py` counts the requests that it passes on.
        if shared.access.open_requests is not None and "asgi.scope" not in environ:
            return held_until_sent(super().wsgi_app, environ, start_response)
        return super().wsgi_app(environ, start_response)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return `func`: all views and hooks are synchronous. Flask would check this 17 times per request."""
        return func

    def make_default_options_response(self) -> Response:
        """The OPTIONS response with the methods of the matched path only.

        `/predictions/failure` also matches the route of a charger's prediction, which has other methods.
        """
        response = super().make_default_options_response()
        del response.headers["Content-Type"]  # no body
        matched = current_request().url_rule
        if matched is not None:
            response.allow.clear()
            for rule in self.url_map.iter_rules():
                if rule.rule == matched.rule:
                    response.allow.update(rule.methods or ())
        return response


class _DocumentedApi(Api):
    """flask-smorest without its error bodies (`web/http/errors.py`) and paging (`web/http/paging.py`)."""

    def _register_error_handlers(self) -> None:
        """Do nothing: `web/http/errors.py` registers the handlers of all errors."""

    def _register_responses(self) -> None:
        """Register the response that every operation may return besides the documented ones."""
        content = {errors.PROBLEM_TYPE: {"schema": ProblemSchema}}
        answer = {"description": "Any other problem; see `code`.", "content": content}
        self.spec.components.response(self.DEFAULT_ERROR_RESPONSE_NAME, answer)

    def _register_pagination_header(self) -> None:
        """Do nothing: no response has this header."""


_DESCRIPTION: Final = (
    "Predictive maintenance for EV chargers. Errors are RFC 9457 problem documents; every response carries "
    "`X-Request-ID`: the request's, or a new one. Times are RFC 3339 in UTC."
)
# Without this, Swagger UI sends the specification's URL to a public validator.
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
            address=request.address,
            request_id=request.request_id,
            tenant=request.tenant,
            span=request.span,
        )
        return response

    app.after_request(observe)
