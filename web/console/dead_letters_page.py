"""`/system/dead-letters`: the newest records from Kafka that failed, and their replay."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema
from werkzeug.wrappers import Response as BaseResponse

from tasks.monitoring import service_health
from tasks.storage import redis_clock
from tasks.storage.dead_letter_looks import LOOKS_KEPT_S, MAX_TEXT_BYTES, MOST_LOOKS
from web.console.pages import go_to, page_blueprint, render
from web.console.queries import ListPage, loaded, loaded_query
from web.console.visitors import check_acts_for_all, visitor
from web.http.messages import Response, current_request
from web.http.roles import needs
from web.http.services import services
from web.openapi import schemas

blueprint = page_blueprint("dead_letters")

_CODE: Final = validate.Regexp(r"[a-z_]{1,64}\Z", error="Must be an error code, like scoring_failed.")
_ORIGIN: Final = validate.Regexp(
    r"[A-Za-z0-9._-]{1,249}:[0-9]{1,10}:[0-9]{1,19}\Z", error="Must be TOPIC:PARTITION:OFFSET."
)


class _LooksQuery(schemas.PageQuerySchema):
    code = fields.String(load_default=None, validate=_CODE)


class _ReplayForm(Schema):
    class Meta:
        """Unknown fields are ignored: the form has a CSRF token."""

        unknown = EXCLUDE

    code = fields.String(load_default=None, validate=_CODE)
    origin = fields.String(load_default=None, validate=_ORIGIN)

    @validates_schema
    def _one_of_them(self, values: dict[str, Any], **_: Any) -> None:
        if (values["code"] is None) == (values["origin"] is None):
            raise ValidationError("Name a reason or one dead letter.", "code")


_QUERY: Final = _LooksQuery()
_FORM: Final = _ReplayForm()


@blueprint.get("/system/dead-letters")
@needs("admin")
def show_dead_letters() -> Response:
    """The newest dead letters of the tenant that is shown, or of all"""
    query = loaded_query(_QUERY)
    code, offset, limit = query["code"], query["cursor"], query["limit"]
    shown = visitor()
    if shown.tenant is None:
        check_acts_for_all()
    acts_for_all = shown.key.tenants is None
    held = services()
    looks = held.dead_letters.newest(shown.tenant, now=redis_clock.now())
    found = [look for look in looks if code in (None, look.code)]
    return render(
        "dead_letters.html",
        looks=found[offset : offset + limit],
        paging=ListPage(offset, limit, len(found)),
        counts=Counter(look.code for look in looks),
        code=code,
        topic=held.settings.kafka_topic_dead_letters,
        acts_for_all=acts_for_all,
        replays=held.replays.newest() if acts_for_all else (),
        consumer_runs=any(
            record.get("role") == "consumer" for record in service_health.living_consumers(held.redis)
        ),
        most=MOST_LOOKS,
        days=LOOKS_KEPT_S // 86_400,
        text_bytes=MAX_TEXT_BYTES,
    )


@blueprint.post("/system/dead-letters/replay")
@needs("admin")
def ask_for_replay() -> BaseResponse:
    """Ask a consumer to put dead letters back, those with a code or the one of a record"""
    check_acts_for_all()
    request = current_request()
    request.is_audited = True
    form = loaded(_FORM, {name: value for name, value in request.form.items() if value})
    services().replays.add(code=form["code"], origin=form["origin"])
    return go_to("console_dead_letters.show_dead_letters", done="replay_asked", code=form["code"])
