"""E-mails about alerts: urgent ones at once, the rest in digests; none is lost, whatever is killed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from redis import Redis

from tasks.messaging.names import Queues
from tasks.messaging.task_publisher import TaskPublisher
from tasks.notify import email_news
from tasks.notify.cloud_events import Event, action_changed, alert_closed, alert_opened
from tasks.notify.outbox import Outbox
from tasks.notify.webhook_store import EMAIL_ID, WEBHOOKS_KEY, part_key
from tests.mail_sink import Mail, MailSink, mail_sink
from tests.processes import Process, Web, environment, settings_of, start_worker, wait_until
from tests.services import RunningServer

AT = 1_790_000_000.0
FIRST, SECOND = "a@example.com", "b@example.com"


@pytest.fixture
def sink() -> Iterator[MailSink]:
    with mail_sink() as sink:
        yield sink


@pytest.fixture
def env(lone_redis: RunningServer, sink: MailSink) -> dict[str, str]:
    return environment(
        lone_redis.url,
        SMTP_HOST="127.0.0.1",
        SMTP_PORT=str(sink.port),
        SMTP_TLS="off",
        SMTP_FROM="ml@example.com",
        SMTP_TO=f"{FIRST},{SECOND}",
    )


class Producer:
    """Makes events as the consumer and the announcements do."""

    def __init__(self, env: dict[str, str]) -> None:
        settings = settings_of(env)
        self.redis = Redis.from_url(settings.redis_url)
        self.outbox = Outbox(self.redis, TaskPublisher(settings))

    def announce(self, *events: Event) -> None:
        self.outbox.refresh()
        with self.redis.pipeline(transaction=True) as pipeline:
            for command in self.outbox.to_store(events):
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # untyped there
            pipeline.execute()

    def let_the_digest_be_due(self) -> None:
        """As if its first news had come long ago."""
        assert self.redis.hget(part_key(EMAIL_ID, "digest"), "since")
        self.redis.hset(part_key(EMAIL_ID, "digest"), "since", 1)

    def is_settled(self) -> bool:
        return self.redis.hlen(part_key(EMAIL_ID, "events")) == 0

    def totals(self) -> dict[str, int]:
        found = self.redis.hgetall(part_key(EMAIL_ID, "counts"))
        return {name.decode(): int(number) for name, number in cast(dict[bytes, bytes], found).items()}


@pytest.fixture
def producer(env: dict[str, str]) -> Iterator[Producer]:
    made = Producer(env)
    with made.redis:
        yield made


@pytest.fixture
def worker(env: dict[str, str], producer: Producer) -> Iterator[Process]:
    with start_worker(Queues.BATCH, env) as worker:
        wait_for_target(producer, worker)
        yield worker


def wait_for_target(producer: Producer, worker: Process) -> None:
    wait_until(lambda: producer.redis.hexists(WEBHOOKS_KEY, EMAIL_ID), what="the target", log=worker.log)


def opened(number: int, action: str = "IMMEDIATE", *, charger: str = "CP", at: float = AT) -> Event:
    verdict = {"recommended_action": action, "failure_probability": 0.83, "top_factor": "Heat\r\nBcc: x"}
    data = {"alert": "failure", "opened_at": "2026-09-21T14:13:20.000Z", "closed_at": None}
    return alert_opened(
        f"{number:024x}", f"{charger}-{number}", {**data, "verdict": verdict}, tenant="acme", at=at
    )


def closed(number: int) -> Event:
    data = {
        "alert": "failure",
        "opened_at": "2026-09-21T14:13:20.000Z",
        "closed_at": "2026-09-22T00:00:00.000Z",
    }
    return alert_closed(f"{number:024x}", f"CP-{number}", {**data, "verdict": None}, tenant="acme", at=AT + 1)


def test_an_urgent_alert_is_mailed_at_once_and_its_action_is_not_mailed_again(
    producer: Producer, worker: Process, sink: MailSink
) -> None:
    changed = action_changed("CP-1", "IMMEDIATE", "NONE", {}, tenant="acme", at=AT)
    producer.announce(opened(1), changed)
    wait_until(lambda: sink.received, what="the e-mail", log=worker.log)
    wait_until(producer.is_settled, what="the end", log=worker.log)
    (mail,) = sink.received
    assert (mail.sender, mail.recipients) == ("ml@example.com", [FIRST, SECOND])
    assert mail.subject == "Send a technician today: charger CP-1 (tenant acme)"
    assert "Why:          Heat Bcc: x" in mail.text
    assert mail.message["Bcc"] is None
    assert producer.redis.hget(part_key(EMAIL_ID, "digest"), "since") is None


def test_the_rest_is_one_digest_whichever_worker_makes_it(
    producer: Producer, worker: Process, env: dict[str, str], sink: MailSink
) -> None:
    with start_worker(Queues.BATCH, env) as other:
        wait_until(lambda: "ready" in other.log(), what="the other worker", log=other.log)
        producer.announce(
            opened(1, "WITHIN_7_DAYS"),
            closed(2),
            action_changed("CP-3", "WITHIN_7_DAYS", "NONE", {}, tenant="acme", at=AT),
        )
        producer.let_the_digest_be_due()
        wait_until(lambda: producer.totals().get("delivered"), what="the digest", log=worker.log)
        wait_until(producer.is_settled, what="the end", log=worker.log)
    (mail,) = sink.received
    assert mail.subject == "Alerts, to do today: 0, other new alerts: 1, closed: 1"
    assert "plan a visit within 7 days" in mail.text
    assert "CP-3" not in mail.text  # an action that changes is no news


@pytest.mark.owasp("API6", "a storm of 10,000 alerts is eleven e-mails, which count what they leave out")
def test_a_storm_of_alerts_is_a_few_e_mails(producer: Producer, worker: Process, sink: MailSink) -> None:
    producer.announce(*(opened(number) for number in range(10_000)))
    waiting = 10_000 - email_news.AT_ONCE
    assert producer.totals() | {"delivered": 0} == {"dropped": waiting - email_news.MOST_NEWS, "delivered": 0}
    # Urgent news that is not mailed at once hurries the digest.
    hurry = float(producer.redis.hget(part_key(EMAIL_ID, "digest"), "hurry") or 0)
    assert hurry == pytest.approx(producer.redis.time()[0] + email_news.HURRY_S, abs=30)
    producer.let_the_digest_be_due()
    wait_until(
        lambda: len(sink.received) > email_news.AT_ONCE and producer.is_settled(), what="all", log=worker.log
    )
    digests = [each for each in sink.received if each.subject.startswith("Alerts")]
    assert (len(digests), len(sink.received)) == (1, email_news.AT_ONCE + 1)
    assert f"{waiting - email_news.MOST_NEWS} more are left out" in digests[0].text
    mailed = {each.subject for each in sink.received} - {digests[0].subject}
    named = set(re.findall(r"^- (CP-\d+)$", digests[0].text, re.MULTILINE))
    assert (len(mailed), len(named)) == (email_news.AT_ONCE, email_news.MOST_NEWS)


def test_an_e_mail_of_a_killed_worker_is_sent_again_under_its_id(
    producer: Producer, env: dict[str, str], sink: MailSink
) -> None:
    with start_worker(Queues.BATCH, env) as first:
        wait_for_target(producer, first)
        taken: list[Mail] = []

        def kill(mail: Mail) -> None:
            taken.append(mail)
            first.kill()  # in the middle of the delivery

        sink.before_answer = kill
        producer.announce(opened(1, "WITHIN_7_DAYS"), opened(2, "WITHIN_30_DAYS"))
        producer.let_the_digest_be_due()
        wait_until(lambda: taken and first.has_ended(), what="the kill", log=first.log)
    sink.before_answer = lambda mail: None
    sink.received.clear()
    producer.announce(opened(3, "WITHIN_7_DAYS"))  # for the next digest
    with start_worker(Queues.BATCH, env) as second:
        wait_until(lambda: sink.received, what="the digest", timeout_s=90, log=second.log)
        wait_until(producer.is_settled, what="the end", log=second.log)
    (mail,) = sink.received
    assert mail.message_id == taken[0].message_id
    assert mail.text == taken[0].text
    assert producer.redis.hlen(part_key(EMAIL_ID, "later")) == 1


def test_news_outlives_a_worker_that_is_killed_before_the_digest(
    producer: Producer, env: dict[str, str], sink: MailSink
) -> None:
    with start_worker(Queues.BATCH, env) as first:
        wait_for_target(producer, first)
        producer.announce(opened(1, "WITHIN_7_DAYS"))
        first.kill()
    producer.announce(opened(2, "WITHIN_7_DAYS"))
    producer.let_the_digest_be_due()
    with start_worker(Queues.BATCH, env) as second:
        wait_until(lambda: sink.received, what="the digest", log=second.log)
    assert {"- CP-1", "- CP-2"} <= {*sink.received[0].text.splitlines()}


def test_a_refused_e_mail_is_tried_again_or_parked_and_shown(
    producer: Producer, worker: Process, env: dict[str, str], sink: MailSink
) -> None:
    with Web(env) as web:
        sink.answers = {SECOND: "450 later"}
        producer.announce(opened(1))
        (failure,) = wait_until(lambda: failures_of(web), what="the failure", log=worker.log)
        assert (failure["state"], failure["attempts"]) == ("waiting", 1)
        assert failure["error"] == "recipients refused: 1, with 450"
        sink.answers.clear()
        wait_until(producer.is_settled, what="the second attempt", log=worker.log)
        assert [each.recipients for each in sink.received] == [[FIRST], [SECOND]]
        assert len({each.message_id for each in sink.received}) == 1

        sink.answer = "554 no"
        producer.announce(opened(2))
        (failure,) = wait_until(
            lambda: [each for each in failures_of(web) if each["state"] == "parked"],
            what="it",
            log=worker.log,
        )
        assert (failure["attempts"], failure["error"]) == (1, "answered 554 no")
        sink.answer = "250 OK"
        answer = web.client.post(f"/api/v1/webhooks/{EMAIL_ID}/replay")
        assert (answer.status_code, answer.json()) == (202, {"replayed": 1})
        wait_until(producer.is_settled, what="the replay", log=worker.log)
        (target,) = web.client.get("/api/v1/webhooks").json()["items"]
        assert target["url"] == f"smtp://127.0.0.1:{sink.port}"
        assert (target["totals"]["delivered"], target["parked"]) == (2, 0)


def failures_of(web: Web) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = web.client.get(f"/api/v1/webhooks/{EMAIL_ID}/failures").json()["items"]
    return found


@pytest.mark.owasp("API3", "an erasure removes a charger and a tenant from e-mails that wait")
def test_an_erasure_covers_what_waits(producer: Producer, env: dict[str, str]) -> None:
    settings = settings_of(env)
    email_news.keep_target(producer.outbox._store, settings.smtp)
    one = [opened(1), opened(2, "WITHIN_7_DAYS"), opened(3, "WITHIN_7_DAYS")]
    producer.announce(*one)
    assert producer.outbox.compose(0)
    producer.announce(opened(2, "WITHIN_30_DAYS", at=AT + 1), opened(4, "WITHIN_7_DAYS"))
    assert b"CP-2" in everything(producer)
    assert producer.outbox.erase("acme", "CP-2") == 2
    assert b"CP-2" not in everything(producer)
    assert all(f"CP-{number}".encode() in everything(producer) for number in (1, 3, 4))
    assert producer.outbox.erase("another") == 0
    assert producer.outbox.erase("acme") == 3
    assert b"CP-" not in everything(producer)
    assert producer.is_settled()  # a digest without news is none


def everything(producer: Producer) -> bytes:
    parts = ("events", "urgent", "later")
    found = [producer.redis.hvals(part_key(EMAIL_ID, part)) for part in parts]
    return b"".join(cast(bytes, each) for values in found for each in values)


def test_without_a_server_nothing_is_kept_and_nothing_is_announced(lone_redis: RunningServer) -> None:
    producer = Producer(environment(lone_redis.url))
    with producer.redis:
        email_news.keep_target(producer.outbox._store, settings_of(environment(lone_redis.url)).smtp)
        assert producer.outbox.to_store([opened(1)]) == []
        assert producer.redis.dbsize() == 0
