"""How replies lie in Redis: for a while, and nowhere else."""

from __future__ import annotations

from redis import Redis

from tasks.messaging.messages import REPLY_TTL_S, to_reply
from tasks.storage.redis_connection import PinnedConnection
from tests.services import start_redis

LIST = "ml:reply:x"


def test_a_reply_nobody_fetches_expires() -> None:
    with start_redis() as server, Redis.from_url(server.url) as redis:
        PinnedConnection(redis).execute(to_reply(LIST, b"one"), to_reply(LIST, b"two"))
        assert 0 < redis.ttl(LIST) <= REPLY_TTL_S
        assert redis.lrange(LIST, 0, -1) == [b"one", b"two"]


def test_replies_stay_out_of_the_append_only_file_and_what_is_around_them_is_in_it() -> None:
    with start_redis() as server, Redis.from_url(server.url) as redis:
        redis.rpush("ml:reply:old", b"by a worker of the former release")
        replies = (to_reply(LIST, b"fetched"), to_reply(LIST, b"not fetched"))
        PinnedConnection(redis).execute(("SET", "before", 1), *replies, ("SET", "after", 1))
        assert redis.blpop([LIST], 1) == (LIST.encode(), b"fetched")  # the file may tell of that
        server.stop()
        server.restart()
        assert redis.exists("before", "after", "ml:reply:old", LIST) == 3
        assert redis.exists(LIST) == 0
