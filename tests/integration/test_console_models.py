"""The pages of models: figures in words, drift, shadow, quality; an administrator switches versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.messaging.names import Queues
from tests.console_login import ConsoleClient, logged_in
from tests.processes import READ_KEY, Web, environment, start_worker, wait_until
from tests.readings import request
from tests.services import start_redis
from tests.versions import copied_versions, copy_version, damage

MODEL = "/models/failure"
PLOT = '<svg xmlns="http://www.w3.org/2000/svg"><style>*{stroke-linejoin: round}</style></svg>'


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copied_versions(tmp_path_factory.mktemp("models"))
    for name in ("second", "damaged", "bare"):
        copy_version(folder / "failure", name, without="distributions" if name == "bare" else "")
    damage(folder / "failure" / "damaged")
    plots = folder / "failure" / "evaluations" / "simulated-3"
    plots.mkdir(parents=True)
    (plots / "reliability.svg").write_text(PLOT)
    (plots / "secret.svg").write_text("not one of the plots")
    return folder


@pytest.fixture(scope="module")
def service(model_dir: Path) -> Iterator[Web]:
    with start_redis() as redis:
        env = environment(redis.url, MODEL_DIR=str(model_dir), AUDIT_LOG=str(model_dir / "audit.jsonl"))
        with start_worker(Queues.SINGLE, env) as worker, Web(env) as web:
            wait_until(web.ready, what="readiness", log=worker.log)
            yield web


@pytest.fixture
def admin(service: Web) -> Iterator[ConsoleClient]:
    with logged_in(service.url) as client:
        yield client


@pytest.fixture
def reader(service: Web) -> Iterator[ConsoleClient]:
    with logged_in(service.url, READ_KEY) as client:
        yield client


def active(service: Web) -> str:
    return str(service.client.get("/api/v1/models/failure").json()["active"])


def page(client: httpx.Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def recorded(service: Web) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.client.get("/api/v1/audit").json()["items"]
    return found


def test_the_models_are_shown_with_training_data_that_is_simulated(reader: ConsoleClient) -> None:
    html = page(reader, "/models")
    assert "simulated-3 in 1 process" in html
    assert "Trained on a <strong>simulated</strong> fleet" in html
    assert "4 versions" in html
    assert "No outcome is reported yet" in html


def test_the_models_are_sent_again_only_if_they_have_changed(reader: ConsoleClient) -> None:
    first = reader.get("/models")
    again = reader.get("/models", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_card_says_which_figures_are_good(reader: ConsoleClient) -> None:
    html = page(reader, MODEL)
    assert "0.245, 11.4 times chance" in html
    assert "1 is perfect, 0.5 is chance" in html
    assert "1,460,000 readings of 2,000 chargers" in html
    assert "data-plot='{" in html  # of the confidence
    assert "No version scores beside the active one." in html
    anomaly = page(reader, "/models/anomaly")
    assert "60,000 healthy readings" in anomaly
    assert "1.00 %" in anomaly


def test_another_version_has_a_card_too(reader: ConsoleClient) -> None:
    assert "Card of version second" in page(reader, f"{MODEL}?version=second")
    missing = reader.get(f"{MODEL}?version=<b>")
    assert missing.status_code == 404
    assert "No version &lt;b&gt; of failure." in missing.text
    assert reader.get("/models/luck").status_code == 404
    assert "Card of version simulated-3" in page(reader, "/models/maintenance")


def test_a_window_that_is_none_is_a_readable_problem(reader: ConsoleClient) -> None:
    answer = reader.get(f"{MODEL}?window=<script>")
    assert answer.status_code == 422
    assert "<code>window</code>: " in answer.text
    assert "<script>" not in answer.text.replace('<script type="module"', "")


def test_drift_is_drawn_beside_training(service: Web, reader: ConsoleClient) -> None:
    assert service.client.post("/api/v1/predictions/failure", json=request()).status_code == 200

    def drawn() -> bool:
        return 'class="histogram"' in page(reader, f"{MODEL}?window=7d")

    wait_until(drawn, what="counts of drift")
    html = page(reader, f"{MODEL}?window=7d")
    assert "too few readings" in html
    assert "temperature c" in html
    assert "style=" not in html


def test_quality_follows_outcomes_and_is_of_one_tenant(service: Web) -> None:
    headers = {"X-Tenant-ID": "north"}
    reading = request()
    answer = service.client.post("/api/v1/predictions/failure", json=reading, headers=headers)
    assert answer.status_code == 200
    report = {
        "charger_id": answer.json()["charger_id"],
        "outcome": "failed",
        "occurred_at": answer.json()["reading_timestamp"],
    }
    assert service.client.post("/api/v1/outcomes", json=report, headers=headers).status_code == 202
    with logged_in(service.url, tenant="north") as client:
        html = page(client, "/models")
        assert "failed 1" in html
        assert "Verdicts of tenant north" in html
    with logged_in(service.url, tenant="south") as client:
        assert "No outcome is reported yet" in page(client, "/models")


def test_quality_is_expected_before_any_outcome(service: Web) -> None:
    def expected(tenant: str) -> dict[str, Any]:
        answer = service.client.get("/api/v1/outcomes/quality", headers={"X-Tenant-ID": tenant})
        found: dict[str, Any] = answer.json()["expected"]
        return found

    sent = [request() for _ in range(50)]
    sent.append(request(connector_status="FAULTY"))
    probabilities = []
    for reading in sent:
        answer = service.client.post(
            "/api/v1/predictions/failure", json=reading, headers={"X-Tenant-ID": "west"}
        )
        probabilities.append(answer.json()["failure_probability"])
    wait_until(lambda: expected("west")["chargers"] == 50, what="the fleet without the one in failure")
    found = expected("west")
    alerts = [p for p in probabilities[:-1] if p >= 0.7]
    assert (found["threshold"], found["reason"], found["alerts"]) == (0.7, None, len(alerts))
    assert found["recall"]["value"] == pytest.approx(sum(alerts) / sum(probabilities[:-1]), abs=1e-6)
    assert 0 <= found["pr_auc"]["low"] <= found["pr_auc"]["value"] <= found["pr_auc"]["high"] <= 1
    nothing = expected("south")
    assert (nothing["chargers"], nothing["pr_auc"]) == (0, None)
    with logged_in(service.url, tenant="west") as client:
        assert "Alerts open at 70" in page(client, "/models")


def test_an_administrator_activates_and_rolls_back(service: Web, admin: ConsoleClient) -> None:
    assert "Roll back to" not in page(admin, MODEL)
    answer = admin.post_form(f"{MODEL}/activate", version="second")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{MODEL}?done=activate")
    assert "The version is active in all workers." in page(admin, answer.headers["Location"])
    assert active(service) == "second"
    assert "Roll back to simulated-3" in page(admin, MODEL)
    answer = admin.post_form(f"{MODEL}/rollback")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{MODEL}?done=rollback")
    assert active(service) == "simulated-3"
    actions = [(each["action"], each["status"]) for each in recorded(service)[:2]]
    assert actions == [(f"POST {MODEL}/rollback", 303), (f"POST {MODEL}/activate", 303)]


@pytest.mark.parametrize(
    ("path", "form", "status", "problem"),
    [
        ("activate", {"version": "damaged"}, 409, "sha256 differs"),
        ("activate", {"version": "<b>none</b>"}, 404, "No version &lt;b&gt;none&lt;/b&gt; of failure."),
        ("activate", {}, 422, "/version"),
        ("shadow", {"version": "simulated-3"}, 409, "it is the active version"),
        ("rollback", {}, 409, "no version was active before this one"),
    ],
)
def test_a_change_that_is_refused_shows_its_reason_and_changes_nothing(
    service: Web, admin: ConsoleClient, path: str, form: dict[str, str], status: int, problem: str
) -> None:
    answer = admin.post_form(f"{MODEL}/{path}", **form)
    assert answer.status_code == status
    assert "Nothing was changed." in answer.text
    assert problem in answer.text
    assert active(service) == "simulated-3"
    newest = recorded(service)[0]
    assert (newest["action"], newest["status"]) == (f"POST {MODEL}/{path}", status)


def test_a_shadow_is_compared_and_ended(service: Web, admin: ConsoleClient) -> None:
    assert admin.post_form(f"{MODEL}/shadow", version="second").status_code == 303
    assert "Shadow second" in page(admin, MODEL)
    assert service.client.post("/api/v1/predictions/failure", json=request()).status_code == 200
    wait_until(lambda: "Scores of both" in page(admin, MODEL), what="a comparison")
    assert "0.0 % of a reading's two scores" in page(admin, MODEL)
    assert admin.post_form(f"{MODEL}/shadow/clear").status_code == 303
    assert "No version scores beside the active one." in page(admin, MODEL)


def test_a_version_without_distributions_has_no_drift(service: Web, admin: ConsoleClient) -> None:
    assert admin.post_form(f"{MODEL}/activate", version="bare").status_code == 303
    try:
        assert "states no distributions of its training" in page(admin, MODEL)
    finally:
        assert admin.post_form(f"{MODEL}/rollback").status_code == 303


@pytest.mark.owasp("API5", "a key without the role admin switches no model in the console")
@pytest.mark.parametrize("change", ["activate", "rollback", "shadow", "shadow/clear"])
def test_a_reader_sees_no_form_and_changes_nothing(service: Web, reader: ConsoleClient, change: str) -> None:
    html = page(reader, MODEL)
    assert ">Activate<" not in html
    assert "A key of the role admin may activate" in html
    before = recorded(service)
    answer = reader.post_form(f"{MODEL}/{change}", version="second")
    assert answer.status_code == 403
    assert active(service) == "simulated-3"
    assert recorded(service) == before


@pytest.mark.owasp("API2", "a form without the token of its session switches no model")
def test_a_form_without_its_token_is_refused(service: Web, admin: ConsoleClient) -> None:
    assert admin.post(f"{MODEL}/activate", data={"version": "second"}).status_code == 403
    assert active(service) == "simulated-3"


@pytest.mark.owasp("API1", "the address of a plot reaches no other file")
def test_only_plots_of_an_evaluation_are_served(reader: ConsoleClient) -> None:
    assert f'src="{MODEL}/versions/simulated-3/reliability.svg"' in page(reader, MODEL)
    plot = reader.get(f"{MODEL}/versions/simulated-3/reliability.svg")
    assert (plot.status_code, plot.text) == (200, PLOT)
    assert plot.headers["Content-Type"] == "image/svg+xml"
    assert plot.headers["Content-Security-Policy"].startswith("default-src 'none'")
    for path in (
        "simulated-3/secret.svg",
        "simulated-3/lead-time.svg",
        "second/reliability.svg",
        "%2e%2e/reliability.svg",
        "evaluations/reliability.svg",
        "simulated-3/..%2freliability.svg",
    ):
        assert reader.get(f"{MODEL}/versions/{path}").status_code == 404, path


def test_where_no_version_is_active_the_page_still_shows_those_on_disk(
    model_dir: Path, service: Web, admin: ConsoleClient
) -> None:
    pointer = model_dir / "anomaly" / "ACTIVE"
    before = pointer.read_text()
    pointer.unlink()
    try:
        html = page(admin, "/models/anomaly")
        assert "anomaly: no active version" in html
        assert ">Activate<" in html
        assert "no active version" in page(admin, "/models")
    finally:
        pointer.write_text(before)
