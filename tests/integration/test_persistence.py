"""Health tells of a Redis that would lose jobs at its restart."""

from __future__ import annotations

from redis import Redis

from tasks.monitoring.service_health import NOT_PERSISTENT, Monitor
from tests.processes import settings_for, wait_until
from tests.services import start_redis


def test_a_missing_append_only_file_is_told() -> None:
    with start_redis() as server, Redis.from_url(server.url) as redis:
        for persists, detail in (("yes", "answers"), ("no", NOT_PERSISTENT)):
            redis.config_set("appendonly", persists)
            monitor = Monitor(settings_for(server.url))
            try:
                monitor.wait_first(10)
                check = monitor.snapshot.checks["redis"]
                assert (check.state, check.detail) == ("ok", detail)
            finally:
                monitor.close()


def test_a_user_without_the_right_to_know_is_told_nothing() -> None:
    with start_redis() as server, Redis.from_url(server.url) as redis:
        redis.config_set("appendonly", "no")
        redis.execute_command("ACL", "SETUSER", "few", "on", ">secret", "~*", "+@all", "-info")
        monitor = Monitor(settings_for(server.url.replace("redis://", "redis://few:secret@")))
        try:
            wait_until(lambda: "redis" in monitor.snapshot.checks, what="the first look")
            assert monitor.snapshot.checks["redis"].detail == "answers"
        finally:
            monitor.close()
