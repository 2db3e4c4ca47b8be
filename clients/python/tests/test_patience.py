"""Background calls are repeated through an outage, and report it."""

from __future__ import annotations

import pytest
from driven import Connect, circuit, reading
from proxy import Proxy

from evzone_ml_client import RequestRejected, Retry, ServiceUnavailable
from tests.processes import READ_KEY, Web

BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 120\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


def test_an_outage_is_waited_out_however_many_attempts_it_takes(connect: Connect, proxy: Proxy) -> None:
    retries: list[Retry] = []

    def told(retry: Retry) -> None:
        retries.append(retry)
        if len(retries) == 6:
            proxy.recover()

    ml = connect(proxy.url, attempts=1, patience_s=60, on_retry=told)
    proxy.refuse()
    assert ml.predict_failure(reading())["failure_probability"] >= 0
    assert [retry.attempt for retry in retries] == [1, 2, 3, 4, 5, 6]
    assert {retry.call for retry in retries} == {"predict_failure"}
    assert isinstance(retries[0].error, ServiceUnavailable)
    assert retries[0].error.reason == "unreachable"
    assert circuit(ml) == "closed"


def test_patience_ends_with_the_last_error(connect: Connect, proxy: Proxy) -> None:
    retries: list[Retry] = []
    ml = connect(proxy.url, patience_s=0.3, on_retry=retries.append)
    proxy.refuse()
    with pytest.raises(ServiceUnavailable) as raised:
        ml.predict_failure(reading())
    assert raised.value.reason == "unreachable"
    assert sum(retry.pause_s for retry in retries) <= 0.3


def test_of_a_pause_that_is_longer_than_patience_the_rest_of_it_is_waited(
    connect: Connect, proxy: Proxy
) -> None:
    ml = connect(proxy.url, patience_s=0.2)
    proxy.answer(BUSY, BUSY)
    with pytest.raises(ServiceUnavailable) as raised:
        ml.predict_failure(reading())
    assert raised.value.retry_after_s == 120
    first, second = proxy.connected_at
    assert second - first >= 0.2


def test_each_attempt_has_the_whole_time_out(connect: Connect, proxy: Proxy) -> None:
    def told(retry: Retry) -> None:
        assert isinstance(retry.error, ServiceUnavailable)
        assert retry.error.reason == "timeout"
        if retry.attempt == 2:
            proxy.recover()

    ml = connect(proxy.url, timeout_s=1.0, patience_s=60, on_retry=told)
    proxy.hang()
    assert ml.predict_failure(reading())["charger_id"]


def test_a_refusal_is_not_waited_out(connect: Connect, web: Web) -> None:
    ml = connect(web.url, api_key=READ_KEY, patience_s=60)
    with pytest.raises(RequestRejected):
        ml.predict_failure(reading())


def test_whoever_is_told_of_a_retry_may_end_the_call(connect: Connect, proxy: Proxy) -> None:
    class EnoughError(Exception):
        pass

    def told(retry: Retry) -> None:
        raise EnoughError

    ml = connect(proxy.url, patience_s=60, on_retry=told)
    proxy.refuse()
    with pytest.raises(EnoughError):
        ml.predict_failure(reading())
