"""The rules of every page of the console: session, role, CSRF token, headers, errors."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from flask import Blueprint, Flask, current_app, g, redirect, render_template, url_for
from jinja2 import StrictUndefined
from structlog.contextvars import bind_contextvars
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from errors import Forbidden, Unauthorized
from settings import VERSION
from web.console import assets, formats
from web.console.visitors import Visitor, identify
from web.http.access import ALLOWED
from web.http.errors import Problem, problem_of, problem_of_http
from web.http.key_ring import Caller
from web.http.messages import Request, Response, current_request
from web.http.roles import role_of

log = logging.getLogger(__name__)

_TEMPLATES: Final = "console-templates"
TEMPLATES: Final = Path(__file__).resolve().parent / "templates"
# Of a form. Uploads of jobs have a limit of their own.
MOST_FORM_BYTES: Final = 65_536
# Title and endpoint of each page of the menu, in its order.
MENU: Final = (
    ("Today", "console_today.show_today"),
    ("Fleet", "console_fleet.show_fleet"),
    ("Alerts", "console_alerts.show_alerts"),
    ("Jobs", "console_jobs.show_jobs"),
    ("Models", "console_models.show_models"),
    ("System", "console_system.show_system"),
)
# Pages below a page of the menu that have other addresses, by the beginning of their endpoints.
BELOW: Final = {
    "console_fleet.show_fleet": ("console_fleet.", "console_charger."),
    "console_system.show_system": (
        "console_webhooks.",
        "console_keys.",
        "console_audit.",
        "console_dead_letters.",
    ),
}
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'; "
    "base-uri 'none'; object-src 'none'",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`, with which browsers hide the origin of forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}
# Titles of error pages, where the phrase of HTTP does not help a person.
TITLES: Final[dict[int, str]] = {
    HTTPStatus.UNPROCESSABLE_ENTITY: "A value is wrong",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Too large",
    HTTPStatus.METHOD_NOT_ALLOWED: "No such page",
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.FORBIDDEN: "Not allowed",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not available now",
    HTTPStatus.INTERNAL_SERVER_ERROR: "An error of the service",
}
# The messages after a change. The address of the page carries the name alone.
DONE: Final = {
    "tenant": "You see another tenant now.",
    "alert": "Noted. The story of the alert has it.",
    "cancelled": "The job is cancelled. Its finished rows can still be downloaded.",
    "activate": "The version is active in all workers.",
    "rollback": "The version of before is active again, in all workers.",
    "shadow": "The version scores beside the active one now.",
    "clear": "No version scores beside the active one any more.",
    "switching": "The change is made. Not every worker has carried it out yet; they do within seconds.",
    "revoked": "The key is revoked. It counts no more within 5 seconds.",
    "replayed": "The parked events are sent again, and the webhook is enabled.",
    "replay_asked": "The replay is asked for. A consumer carries it out within seconds; the result is below.",
    "outcome": "The outcome is stored.",
}


def page_blueprint(name: str) -> Blueprint:
    """A blueprint for pages. Each of its views needs a role (`web/http/roles.needs`)."""
    blueprint = Blueprint(f"console_{name}", __name__)
    blueprint.before_request(_admit)
    guard(blueprint)
    return blueprint


def guard(blueprint: Blueprint) -> None:
    """Give the responses of a blueprint the headers of the console, and its errors a page."""
    blueprint.after_request(_finish)
    blueprint.register_error_handler(HTTPException, _show_http_error)
    blueprint.register_error_handler(Exception, _show_error)


def register(app: Flask, blueprints: Sequence[Blueprint]) -> None:
    """Register the pages in `app`. Raises `RoleMissing` for a view of a page that declares no role."""
    # For the console alone: the API page has a template that relies on undefined values.
    app.extensions[_TEMPLATES] = app.jinja_env.overlay(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    app.jinja_env.globals.update(asset=assets.address_of, version=VERSION)
    formats.register(app)
    app.register_blueprint(assets.blueprint)
    for status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        app.register_error_handler(status, _show_missing)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
        if _admit not in blueprint.before_request_funcs.get(None, []):
            continue
        for rule in app.url_map.iter_rules():
            if rule.endpoint.startswith(f"{blueprint.name}."):
                for method in rule.methods or ():
                    role_of(app.view_functions[rule.endpoint], method, rule.rule)


def render(template: str, **values: Any) -> Response:
    """A page of the console. The same content has the same `ETag`, so that polling costs no transfer."""
    shown = getattr(g, "visitor", None)
    html = render_template(
        current_app.extensions[_TEMPLATES].get_template(template),
        visitor=shown,
        csrf_token=shown.session.csrf_token if shown else "",
        menu=[(title, url_for(endpoint), _mark_of(endpoint)) for title, endpoint in MENU],
        path=current_request().full_path.rstrip("?"),
        done=DONE.get(current_request().args.get("done", "")),
        **values,
    )
    return Response(html, content_type="text/html; charset=utf-8")


def _mark_of(entry: str) -> str | None:
    """The `aria-current` of a page of the menu: the shown one, the one above it, or None."""
    here = current_request().endpoint or ""
    if here == entry:
        return "page"
    above = BELOW.get(entry, (entry.partition(".")[0] + ".",))
    return "true" if here.startswith(above) else None


def go_to(endpoint: str, *, done: str | None = None, **values: Any) -> BaseResponse:
    """Send the browser to another page after a change, with one of the messages of `DONE`."""
    return redirect(url_for(endpoint, done=done, **values), HTTPStatus.SEE_OTHER)


def local_path(text: str | None) -> str:
    """A path on this site to go to; `/` for anything else."""
    is_local = (
        text is not None
        and text.startswith("/")
        and not text.startswith(("//", "/\\"))
        and all("!" <= character <= "~" for character in text)
    )
    return text if is_local and text else "/"


def check_origin(request: Request) -> None:
    """Raise `Forbidden` for a change that a page of another site sends."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        is_ours = site in ("same-origin", "none")
    else:
        is_ours = origin is None or urlsplit(origin).netloc == request.host
    if not is_ours:
        raise Forbidden("This form comes from another site.")


def _admit() -> BaseResponse | None:
    """Let a visitor with the role of the view in. Others go to the log-in, and come back."""
    request = current_request()
    request.max_content_length = MOST_FORM_BYTES
    found = identify(request)
    if found is None:
        return _to_login(request)
    g.visitor = found
    request.caller, request.tenant = Caller(found.key, found.tenant), found.tenant
    bind_contextvars(tenant=found.tenant)
    needed = role_of(current_app.view_functions[request.endpoint or ""], request.method, request.path)
    if not found.key.roles & ALLOWED[needed]:
        raise Forbidden(f"Your key lacks the role {' or '.join(sorted(ALLOWED[needed]))}.")
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        _check_token(request, found)
    return None


def _check_token(request: Request, found: Visitor) -> None:
    check_origin(request)
    given = request.headers.get("X-CSRF-Token") or request.form.get("csrf_token", "")
    if not secrets.compare_digest(given.encode(), found.session.csrf_token.encode()):
        raise Forbidden("This form is from an earlier log-in. Load the page again, and send it again.")


def _is_of_script(request: Request) -> bool:
    """Whether a script of a page sent the request, which wants JSON instead of a page."""
    return request.accept_mimetypes.best == "application/json"


def _to_login(request: Request) -> BaseResponse:
    if _is_of_script(request):
        raise Unauthorized("Your session has ended. Load the page again, and log in.")
    target = request.full_path.rstrip("?") if request.method in ("GET", "HEAD") else "/"
    address = f"{url_for('console_login.show_login')}?next={quote(target, safe='')}"
    if "HX-Request" in request.headers:  # htmx goes there itself, instead of showing the page within this one
        return Response(status=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": address})
    return redirect(address, HTTPStatus.SEE_OTHER)


def _finish(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if response.status_code == HTTPStatus.OK and response.is_sequence:
        response.add_etag()
        response.make_conditional(current_request())
    return response


def _show_error(error: Exception) -> Response:
    return _error_page(problem_of(error))


def _show_http_error(error: HTTPException) -> Response:
    return _error_page(problem_of_http(error))


def _show_missing(error: HTTPException) -> Response:
    """A page for a person with an address that has none, and the API's answer for programs.

    Such an address belongs to no blueprint.
    """
    request, problem = current_request(), problem_of_http(error)
    is_of_browser = "text/html" in request.headers.get("Accept", "")
    if request.path.startswith("/api/") or not is_of_browser:
        return Response(
            problem.body(request.request_id), status=problem.status, headers=problem.all_headers()
        )
    return _finish(_error_page(replace(problem, detail=f"The console has no page {request.path} to show.")))


def _name_of(pointer: str) -> str:
    """The name of the parameter or field that a pointer leads to: `status` of `/query/status/0`."""
    parts = pointer.split("/")[1:]
    return next((part for part in parts if part not in ("query", "path", "headers")), "")


def _bare_path(request: Request) -> str | None:
    """The address of a page of ours without its query; None if there is none."""
    if request.method != "GET" or not request.args or request.url_rule is None:
        return None
    return quote(request.path)


def _error_page(problem: Problem) -> Response:
    request = current_request()
    if _is_of_script(request):
        body = problem.body(request.request_id)
        return Response(body, status=problem.status, headers=problem.all_headers())
    response = render(
        "error.html",
        status=problem.status,
        title=TITLES.get(problem.status, HTTPStatus(problem.status).phrase),
        detail=problem.detail,
        fields=[(_name_of(each.pointer), each.detail) for each in problem.field_problems or ()],
        bare_path=_bare_path(request),
        is_change=request.method != "GET",
        request_id=request.request_id,
    )
    response.status_code = problem.status
    response.headers.update(problem.headers)
    return response
