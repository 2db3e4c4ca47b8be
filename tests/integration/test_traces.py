"""One trace leads from a request or a record through queue and worker to its answer or outcome."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from kafka import KafkaProducer

from tasks.messaging.names import Queues
from tests.http_jobs import finish, submit
from tests.integration.stream_bench import INPUT, PREDICTIONS, StreamBench, event_id, stream_bench
from tests.otlp_receiver import OtlpReceiver
from tests.processes import KEY, Web, environment, start_worker, wait_until
from tests.readings import metrics, request
from tests.services import RunningServer, start_kafka, start_redis

FAILURE = "/api/v1/predictions/failure"


@dataclass
class Caller:
    """The span of a caller: its trace, its id, and the header that it sends."""

    trace_id: str
    span_id: str
    is_sampled: bool = True

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02d}"


def new_caller(*, is_sampled: bool = True) -> Caller:
    return Caller(secrets.token_hex(16), secrets.token_hex(8), is_sampled)


@dataclass
class Traced:
    """The whole service with a receiver of its traces."""

    receiver: OtlpReceiver
    web: Web
    stream: StreamBench


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    folder = tmp_path_factory.mktemp("traces")
    with (
        OtlpReceiver() as receiver,
        start_redis() as redis,
        start_kafka() as kafka,
        stream_bench(redis, kafka, folder, ADMIN_PORT="0", **receiver.settings) as stream,
    ):
        env = environment(redis.url, ACCESS_LOG="true", LOG_FORMAT="json", **receiver.settings)
        with start_worker(Queues.SINGLE, env), start_worker(Queues.BATCH, env), Web(env) as web:
            wait_until(web.ready, what="readiness", log=web.log)
            stream.start_worker()
            stream.start_consumer()
            stream.wait_for_state("running")
            yield Traced(receiver, web, stream)


def predict(web: Web, caller: Caller | str, request_id: str = "r") -> httpx.Response:
    header = caller if isinstance(caller, str) else caller.traceparent
    answer = web.client.post(
        FAILURE, json=request(), headers={"traceparent": header, "X-Request-ID": request_id}
    )
    assert answer.status_code == 200, answer.text
    return answer


def test_a_trace_leads_from_a_request_to_the_worker_and_back(traced: Traced) -> None:
    caller = new_caller()
    predict(traced.web, caller, "from-caller")
    spans = traced.receiver.wait_for(caller.trace_id, f"POST {FAILURE}", "ml.score")
    served, task = spans[f"POST {FAILURE}"], spans["ml.score"]
    assert served.parent_id == caller.span_id
    assert (served.service, task.service) == ("evzone-ml-service-web", "evzone-ml-service-worker")
    assert served.attributes["evzone.request_id"] == "from-caller"
    assert served.attributes["http.response.status_code"] == 200
    assert task.parent_id == served.span_id
    assert task.attributes["messaging.destination.name"] == Queues.SINGLE
    phases = [
        float(task.attributes[f"evzone.{name}_ms"]) for name in ("read_history", "score", "store_and_reply")
    ]
    assert 0 < sum(phases) <= (task.ended_ns - task.began_ns) / 1e6
    assert float(task.attributes["evzone.queue_wait_ms"]) <= (task.began_ns - served.began_ns) / 1e6
    (line,) = [line for line in traced.web.log().splitlines() if "from-caller" in line]
    assert json.loads(line)["trace_id"] == caller.trace_id
    sys.stdout.write(traced.receiver.drawn(caller.trace_id) + "\n")


def test_a_refused_request_has_a_span_without_a_task(traced: Traced) -> None:
    caller = new_caller()
    answer = traced.web.client.post(
        FAILURE, content=b"{", headers={"traceparent": caller.traceparent, "Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    spans = traced.receiver.wait_for(caller.trace_id, f"POST {FAILURE}")
    assert not spans[f"POST {FAILURE}"].is_error  # the caller's fault
    assert len(spans) == 1


@pytest.mark.parametrize("header", ["", "00-0-0-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 4000])
def test_a_malformed_context_begins_a_new_trace(traced: Traced, header: str) -> None:
    request_id = f"malformed-{len(header)}"
    predict(traced.web, header, request_id)

    def found() -> list[str]:
        return [
            span.parent_id
            for span in traced.receiver.spans
            if span.attributes.get("evzone.request_id") == request_id
        ]

    assert wait_until(lambda: found(), what="its span") == [""]


def test_the_callers_decision_not_to_sample_holds(traced: Traced) -> None:
    unwanted, wanted = new_caller(is_sampled=False), new_caller()
    predict(traced.web, unwanted)
    predict(traced.web, wanted)
    traced.receiver.wait_for(wanted.trace_id, f"POST {FAILURE}", "ml.score")
    assert not traced.receiver.trace(unwanted.trace_id)


def test_the_chunks_of_a_job_belong_to_the_request_that_submitted_it(traced: Traced) -> None:
    caller = new_caller()
    job = submit(traced.web.client, [metrics() for _ in range(3)], traceparent=caller.traceparent)
    assert finish(traced.web.client, job["job_id"])["status"] == "SUCCEEDED"
    submitted = "POST /api/v1/predictions/batch"
    spans = traced.receiver.wait_for(caller.trace_id, submitted, "ml.score_chunk")
    assert spans["ml.score_chunk"].parent_id == spans[submitted].span_id
    assert spans["ml.score_chunk"].attributes["evzone.job_id"] == job["job_id"]


def test_a_trace_leads_from_a_record_to_its_outcome(traced: Traced) -> None:
    caller, stream = new_caller(), traced.stream
    sent = stream.producer.send(
        INPUT,
        json.dumps(metrics()).encode(),
        headers=[("traceparent", caller.traceparent.encode())],
    ).get(10)
    spans = traced.receiver.wait_for(caller.trace_id, f"process {INPUT}", "ml.score")
    consumed = spans[f"process {INPUT}"]
    assert (consumed.service, consumed.parent_id) == ("evzone-ml-service-consumer", caller.span_id)
    assert consumed.attributes["messaging.kafka.offset"] == sent.offset
    assert consumed.attributes["evzone.outcome_topics"] == PREDICTIONS
    assert spans["ml.score"].parent_id == consumed.span_id
    stream.read(until=1)
    (outcome,) = [
        record
        for record in stream.outcomes[PREDICTIONS]
        if event_id(record) == f"{INPUT}:{sent.partition}:{sent.offset}"
    ]
    assert dict(outcome.headers)["traceparent"] == f"00-{caller.trace_id}-{consumed.span_id}-01".encode()
    sys.stdout.write(traced.receiver.drawn(caller.trace_id) + "\n")


def test_a_dead_letter_has_the_context_of_its_last_span_alone(traced: Traced) -> None:
    caller, stream = new_caller(), traced.stream
    before = len(stream.dead_letters())
    stream.producer.send(INPUT, b"{bad", headers=[("traceparent", caller.traceparent.encode())]).get(10)
    spans = traced.receiver.wait_for(caller.trace_id, f"process {INPUT}")
    stream.read(until=before + 1, topics=("charger.metrics.dlq",))
    letter = list(stream.dead_letters().values())[-1]
    contexts = [value for name, value in letter.headers if name == "traceparent"]
    assert contexts == [f"00-{caller.trace_id}-{spans[f'process {INPUT}'].span_id}-01".encode()]


def test_readings_of_one_task_are_linked(traced: Traced) -> None:
    """Two traced records in one batch of the producer come with one poll, and share a task."""
    callers = [new_caller() for _ in range(2)]
    # One batch: the first record waits for the second.
    producer = KafkaProducer(bootstrap_servers=traced.stream.kafka_server.url, linger_ms=1_000)
    for caller in callers:
        producer.send(
            INPUT,
            json.dumps(metrics()).encode(),
            partition=0,
            headers=[("traceparent", caller.traceparent.encode())],
        )
    producer.close()
    tasks = [traced.receiver.wait_for(caller.trace_id, "ml.score")["ml.score"] for caller in callers]
    assert tasks[0].attributes["celery.task_id"] == tasks[1].attributes["celery.task_id"]
    assert {tasks[0].linked_traces, tasks[1].linked_traces} == {
        (callers[0].trace_id,),
        (callers[1].trace_id,),
    }


@pytest.fixture
def redis_url(redis: RunningServer) -> str:
    """A database without the workers of other tests, which are not traced."""
    return redis.url.replace("/0", "/4")


def test_predictions_go_on_while_the_receiver_is_mute(redis_url: str) -> None:
    with OtlpReceiver() as receiver:
        receiver.is_mute = True
        env = environment(redis_url, **receiver.settings)
        with start_worker(Queues.SINGLE, env), Web(env) as web:
            wait_until(web.ready, what="readiness", log=web.log)
            predict(web, new_caller())
            assert receiver.was_asked.wait(10)
            predict(web, new_caller())
            assert KEY not in web.log()


@pytest.mark.parametrize("server", ["asgi", "gunicorn", "granian-wsgi"])
def test_programs_that_stop_send_their_last_spans(redis_url: str, server: str) -> None:
    with OtlpReceiver() as receiver:
        env = environment(redis_url, **receiver.settings | {"OTEL_BSP_SCHEDULE_DELAY": "600000"})
        caller = new_caller()
        with start_worker(Queues.SINGLE, env) as worker, Web(env, server=server) as web:
            wait_until(web.ready, what="readiness", log=web.log)
            predict(web, caller)
            worker.end(20)
            web.end(20)
        receiver.wait_for(caller.trace_id, f"POST {FAILURE}", "ml.score")
