"""`/login`, `/logout` and `/tenant`: begin and end a session, and choose the tenant that it shows."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from flask import Blueprint, redirect
from werkzeug.wrappers import Response as BaseResponse

from errors import InvalidParameter, TooManyWrongKeys
from tasks.storage.api_keys import digest_of
from tasks.storage.audit_log import AuditEntry
from web.console.failed_log_ins import FailedLogIns
from web.console.pages import (
    MOST_FORM_BYTES,
    check_origin,
    go_to,
    guard,
    local_path,
    page_blueprint,
    render,
)
from web.console.visitors import COOKIE, check_tenant, identify, set_cookie, visitor
from web.http.key_ring import Caller
from web.http.messages import Request, Response, current_request
from web.http.roles import needs
from web.http.services import services

# Without a session.
blueprint = Blueprint("console_login", __name__)
guard(blueprint)
with_session = page_blueprint("session")
_failed = FailedLogIns()


@blueprint.get("/login")
def show_login() -> BaseResponse:
    """The form for a key, or the button that uses a link. A preview of the link does not use it up."""
    request = current_request()
    return _form(link=request.args.get("link"), wanted=local_path(request.args.get("next")))


@blueprint.post("/login")
def log_in() -> BaseResponse:
    """Begin a session with a key, or with a link. The session is always a new one."""
    request = current_request()
    request.max_content_length = MOST_FORM_BYTES
    check_origin(request)
    wanted = local_path(request.form.get("next"))
    held = services()
    link = request.form.get("link")
    if link:
        digest = held.sessions.use_link(link)
        key = held.keys.find_digest(digest) if digest else None
        if digest is None or key is None:
            _note_failure(request)
            return _form(
                wanted=wanted,
                problem="This link has been used, or is older than 10 minutes. Log in with a key.",
            )
    else:
        presented = request.form.get("key", "").strip()
        key = held.keys.find(presented)
        if key is None:
            _note_failure(request)
            return _refuse(wanted)
        digest = digest_of(presented)
    if known := identify(request):
        held.sessions.close(known.session_id)
    response = redirect(wanted, HTTPStatus.SEE_OTHER)
    set_cookie(response, request, held.sessions.open(digest))
    request.caller, request.is_audited = Caller(key, None), True
    return response


def _note_failure(request: Request) -> None:
    """Write a failed log-in to the audit log, without the key; one in five minutes if there are many."""
    left_out = _failed.count()
    if left_out is None:
        return
    others = f" ({left_out} failed before without an entry)" if left_out else ""
    services().audit.add(
        AuditEntry(
            f"POST /login{others}",
            key_id="",
            key_name="",
            origin=request.address,
            status=HTTPStatus.UNAUTHORIZED,
            request_id=request.request_id,
        )
    )


def _refuse(wanted: str) -> Response:
    """Count a wrong key like one of the API, and show the form again."""
    problem = "This is no valid key. Copy the whole key again. It may also have expired, or been revoked."
    try:
        services().access.wrong_keys.count(current_request().address)
    except TooManyWrongKeys as error:
        problem = str(error)
    return _form(wanted=wanted, problem=problem)


def _form(*, wanted: str, link: str | None = None, problem: str | None = None) -> Response:
    response = render("login.html", link=link, wanted=wanted, problem=problem)
    if problem:
        response.status_code = HTTPStatus.UNAUTHORIZED
    return response


@with_session.post("/logout")
@needs("read")
def log_out() -> BaseResponse:
    """End the session, and have the browser forget its pages"""
    current_request().is_audited = True
    services().sessions.close(visitor().session_id)
    response = go_to("console_login.show_login")
    response.delete_cookie(COOKIE, path="/")
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@with_session.post("/tenant")
@needs("read")
def choose_tenant() -> BaseResponse:
    """Show another tenant in this session"""
    shown = visitor()
    tenant = current_request().form.get("tenant", "").strip() or None
    try:
        check_tenant(shown.key, tenant)
    except InvalidParameter as error:  # of a header, for the API
        raise InvalidParameter([replace(each, pointer="/tenant") for each in error.errors]) from None
    services().sessions.show_tenant(shown.session_id, shown.session, tenant)
    return go_to("console_today.show_today", done="tenant")
