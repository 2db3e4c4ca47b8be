"""Alert and OCPP state of an erased charger is deleted by its consumers: on Apache Kafka, real processes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import pytest

from tests.batches import ended, results_of
from tests.golden.redis_dump import dump, keys_of
from tests.integration.stream_bench import ALERTS, StreamBench
from tests.kafka.members import bench_on_apache_kafka
from tests.kafka.outcomes import read_all, wait_until_committed
from tests.processes import KEY, Web, start_worker, wait_until
from tests.readings import metrics
from tests.unit.consumers.ocpp import events as ocpp

EVENTS: Final = "ocpp.events"
ALERT_STATE: Final = "ml.alert_state"
OCPP_STATE: Final = "ml.ocpp_state"
TENANT: Final = "acme"
GONE, KEPT = "CP-GONE", "CP-KEPT"


class Service:
    """All processes of a service. Consumers are started and ended by the test."""

    def __init__(self, bench: StreamBench, web: Web) -> None:
        self.bench = bench
        self.client = httpx.Client(
            base_url=web.url, headers={"X-API-Key": KEY, "X-Tenant-ID": TENANT}, timeout=30
        )
        self.events = 0
        self.readings = 0

    def start_consumers(self) -> None:
        self.bench.start_consumer()
        self.bench.start("ocpp", ["-m", "consumers", "ocpp"])

    def end_consumers(self) -> None:
        for process in self.bench.processes:
            if process.log_file.name.startswith(("consumer", "ocpp")) and not process.has_ended():
                assert process.end(20) == 0

    def hear(self, *events: dict[str, Any]) -> None:
        """Have OCPP events translated, and the readings scored. Each makes one reading."""
        for event in events:
            self.bench.producer.send(EVENTS, orjson.dumps(event), key=event["chargePointId"].encode())
        self.bench.producer.flush(30)
        self.events += len(events)
        wait_until_committed(self.bench, self.events, timeout_s=60, topic=EVENTS, group_id="evzone-ml-ocpp")
        self.readings += len(events)
        wait_until_committed(self.bench, self.readings, timeout_s=60)

    def state(self, topic: str) -> dict[str, Any]:
        """The newest value of each key; as a compacted topic has it in the end."""
        found: dict[str, Any] = {}
        for record in read_all(self.bench, topic):
            key = (record.key or b"").decode()
            found[key] = None if record.value is None else orjson.loads(record.value)
        return found

    def held(self, topic: str) -> set[str]:
        """The chargers whose state a topic has."""
        return {key.rpartition("|")[2] for key, value in self.state(topic).items() if value}

    def alerts_of(self, charger: str) -> list[tuple[str, str]]:
        """What was published of a charger's failure alerts: id and state."""
        records = (orjson.loads(record.value or b"") for record in read_all(self.bench, ALERTS))
        return [(each["alert_id"], each["state"]) for each in records if each["charger_id"] == charger]

    def erase(self, path: str, **headers: str) -> dict[str, Any]:
        answer = self.client.delete(path, headers=headers)
        assert answer.status_code == 202, answer.text
        job_id = answer.json()["job_id"]
        assert ended(self.client, job_id, timeout_s=90)["status"] == "SUCCEEDED"
        (receipt,) = results_of(self.client, job_id)
        return receipt

    def found(self, text: str) -> list[str]:
        """Keys of Redis that have the text, the audit log apart."""
        stored = dump(self.bench.redis, keys_of(self.bench.redis))
        return [
            name
            for name, value in stored.items()
            if (text in name or text in json.dumps(value)) and name != "ml:audit"
        ]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with bench_on_apache_kafka(tmp_path, max_poll_records=50) as bench:
        bench.environment |= {"ML_SERVICE_API_KEY": KEY, "ML_SYNC_TIMEOUT": "1", "ADMIN_PORT": "0"}
        queues = "ml.single,ml.batch,ml.stream"
        with start_worker(queues, bench.environment, name="all") as worker, Web(bench.environment) as web:
            wait_until(lambda: "ready" in worker.log(), what="the worker", log=worker.log)
            service = Service(bench, web)
            service.start_consumers()
            yield service
            service.client.close()


def broken(charger: str, minutes: float) -> dict[str, Any]:
    """A status that opens an alert, sent today."""
    now = datetime.now(UTC).isoformat()
    event = ocpp.status(minutes, "Faulted", errorCode="GroundFailure", chargePointId=charger)
    return event | {"chargePointId": charger, "occurredAt": now, "eventId": f"{charger}-{minutes}"}


@pytest.mark.timeout(300)
def test_nothing_of_an_erased_charger_is_found_in_redis_or_in_compacted_topics(service: Service) -> None:
    """Filled by OCPP, the stream, single predictions, a batch and an outcome."""
    service.hear(broken(GONE, 1), broken(KEPT, 1))
    client = service.client
    for charger in (GONE, KEPT):
        body = {"charger_id": charger, "metrics": metrics(charger)}
        for kind in ("failure", "maintenance", "anomaly"):
            assert client.post(f"/api/v1/predictions/{kind}", json=body).status_code == 200
        outcome = {"charger_id": charger, "outcome": "failed", "occurred_at": datetime.now(UTC).isoformat()}
        assert client.post("/api/v1/outcomes", json=outcome).status_code == 202
    batch = {"chargers": [metrics(GONE), metrics(KEPT)]}
    answer = client.post("/api/v1/predictions/batch", json=batch)
    ended(client, answer.json()["job_id"])
    for topic in (ALERT_STATE, OCPP_STATE):
        assert service.held(topic) == {
            GONE,
            KEPT,
        }
    assert len(service.found(GONE)) >= 8
    opened = service.alerts_of(GONE)
    assert [state for _, state in opened] == ["open"]

    receipt = service.erase(f"/api/v1/chargers/{GONE}")
    assert receipt["state"] == {"alerts": "erased", "ocpp": "erased"}
    assert receipt["erased"]["job_rows"] == 1
    assert service.found(GONE) == []
    assert service.bench.redis.keys("ml:erasures:*") == []
    for topic in (ALERT_STATE, OCPP_STATE):
        state = service.state(topic)
        assert {key.rpartition("|")[2] for key, value in state.items() if value} == {KEPT}
        tombstones = [key for key, value in state.items() if value is None]
        assert tombstones
        assert all(key.endswith(f"|{GONE}") for key in tombstones)
    assert client.get(f"/api/v1/chargers/{KEPT}/history").status_code == 200

    # It is not remembered by the consumers either: another failure is a new alert.
    service.hear(broken(GONE, 2), broken(KEPT, 2))
    alerts = service.alerts_of(GONE)
    assert [state for _, state in alerts] == ["open", "open"]
    assert len({alert_id for alert_id, _ in alerts}) == 2
    assert len(service.alerts_of(KEPT)) == 1
    # New readings are kept.
    assert client.get(f"/api/v1/chargers/{GONE}/history").json()["total"] == 1
    time.sleep(3)  # some beats
    assert service.held(ALERT_STATE) == {
        GONE,
        KEPT,
    }


@pytest.mark.timeout(300)
def test_consumers_that_are_down_erase_their_state_when_they_start(service: Service) -> None:
    service.hear(broken(GONE, 1), broken(KEPT, 1))
    service.end_consumers()
    receipt = service.erase(f"/api/v1/chargers/{GONE}")
    assert receipt["state"] == {"alerts": "pending", "ocpp": "pending"}
    assert any(each["data"].startswith("alerts state") for each in receipt["remains"])
    assert service.found(GONE) == []  # the request has a digest
    assert service.bench.redis.hlen("ml:erasures:consumer") == 1

    # An event that comes before they start is new.
    service.bench.producer.send(EVENTS, orjson.dumps(broken(GONE, 2)), key=GONE.encode())
    service.bench.producer.flush(30)
    service.start_consumers()
    service.events += 1
    service.readings += 1
    wait_until(
        lambda: not service.bench.redis.exists("ml:erasures:consumer", "ml:erasures:ocpp"),
        what="the end of the requests",
        timeout_s=60,
        log=service.bench.logs,
    )
    service.hear(broken(KEPT, 2))
    # Of the new event alone, or of none if it was read before the request.
    states = [value for key, value in service.state(OCPP_STATE).items() if key.endswith(GONE) and value]
    assert [len(state["seen"]) for state in states] in ([], [1])
    alerts = service.alerts_of(GONE)
    assert alerts[0][0] not in {
        each["alert_id"] for key, each in service.state(ALERT_STATE).items() if each and key.endswith(GONE)
    }


@pytest.mark.timeout(300)
def test_the_state_of_a_tenant_is_erased(service: Service) -> None:
    other = broken("CP-OTHER", 1) | {"tenantId": "volt"}
    service.hear(broken(GONE, 1), broken(KEPT, 1), other)
    receipt = service.erase(f"/api/v1/tenants/{TENANT}")
    assert receipt["state"] == {"alerts": "erased", "ocpp": "erased"}
    for topic in (ALERT_STATE, OCPP_STATE):
        assert service.held(topic) == {"CP-OTHER"}
