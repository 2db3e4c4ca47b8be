"""The scripts of queues, replies and requests to consumers, against plain models of them."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tasks.messaging.messages import REPLY_TTL_S, to_reply
from tasks.messaging.task_publisher import _PUSH_UNLESS
from tasks.storage.state_erasures import StateErasures, digest_of
from tests.integration.lua_models import TENANTS, ComparedWithRedis, check
from tests.services import RunningServer

pytestmark = pytest.mark.timeout(600)  # a counterexample is made shorter for minutes

NAMES: Final = ("ml.single", '*:%d\n\x00"é')
TEXTS: Final = ("", "fingerprint", "%a+", ".", "a.b%\x00", '"fingerprint":"ff"')
bodies = st.binary(max_size=20)


class Queues(ComparedWithRedis):
    """Tasks that a cached verdict makes needless, and replies that are not fetched."""

    @rule(
        queue=st.sampled_from(NAMES),
        task=bodies,
        guards=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(TEXTS)), min_size=1, max_size=3),
    )
    def push_unless(self, queue: str, task: bytes, guards: list[tuple[str, str]]) -> None:
        keys, texts = zip(*guards, strict=True)
        (length,) = self.redis.run([("EVAL", _PUSH_UNLESS, 1 + len(keys), queue, *keys, task, *texts)])
        if any(text in self.model[key] for key, text in guards if key in self.model):
            assert length == 0
            return
        self.model.setdefault(queue, []).insert(0, task)
        assert length == len(self.model[queue])

    @rule(key=st.sampled_from("abc"), value=st.lists(st.sampled_from(TEXTS), max_size=3).map("".join))
    def cache(self, key: str, value: str) -> None:
        self.redis.set(key, value)
        self.model[key] = value

    @rule(address=st.sampled_from(NAMES).map("ml:reply:{}".format), reply=bodies)
    def reply(self, address: str, reply: bytes) -> None:
        self.redis.run([to_reply(address, reply)])
        self.model.setdefault(address, []).append(reply)
        self.expire(address, REPLY_TTL_S)

    @rule(key=st.sampled_from([*NAMES, *map("ml:reply:{}".format, NAMES)]))
    def fetch(self, key: str) -> None:
        """Replies are fetched in their order, and tasks too."""
        taken = self.redis.lpop(key) if key.startswith("ml:reply:") else self.redis.rpop(key)
        held = self.model.get(key)
        assert taken == (held.pop(0 if key.startswith("ml:reply:") else -1) if held else None)

    @rule(seconds=st.sampled_from([5, 25, REPLY_TTL_S]))
    def wait(self, seconds: int) -> None:
        self.advance(seconds)


ROLES: Final = ("consumer", "ocpp")
# One is a beginning of another, and one means something to Lua's patterns.
REQUESTS: Final = ("ab", "abc", "%w+\x00é")


class RequestsToConsumers(ComparedWithRedis):
    """Erasures in two roles, whose partitions are reported in any order, and again."""

    def __init__(self) -> None:
        super().__init__()
        self.erasures = StateErasures(self.redis)
        # Digest and finished partitions, by role and request.
        self.open: dict[tuple[str, str], tuple[str, set[int]]] = {}

    @rule(
        request=st.sampled_from(REQUESTS),
        tenant=st.sampled_from(TENANTS),
        charger=st.sampled_from([None, "*"]),
    )
    def ask(self, request: str, tenant: str | None, charger: str | None) -> None:
        with self.redis.pipeline() as pipeline:
            self.erasures.request(pipeline, request, tenant, charger)
            pipeline.execute()
        for role in ROLES:
            done = self.open.get((role, request), ("", set()))[1]
            self.open[role, request] = digest_of(tenant, charger), done
        self.draw()

    @rule(
        role=st.sampled_from(ROLES),
        request=st.sampled_from(REQUESTS),
        partitions=st.sets(st.integers(0, 3)),
        of=st.sampled_from([1, 2, 3, 4]),
    )
    def note(self, role: str, request: str, partitions: set[int], of: int) -> None:
        """A topic may have more partitions than an owner knew of."""
        self.erasures.note_done(role, request, partitions, of=of)
        if (role, request) in self.open:
            self.open[role, request][1].update(partitions)
            if self.open[role, request][1] >= set(range(of)):
                del self.open[role, request]
        self.draw()

    def draw(self) -> None:
        for role in ROLES:
            fields: dict[str, Any] = {}
            for (its_role, request), (digest, done) in self.open.items():
                if its_role == role:
                    fields[request] = digest
                    fields.update({f"{request}:{number}": 1 for number in done})
            self.model[f"ml:erasures:{role}"] = fields

    @rule(role=st.sampled_from(ROLES))
    def look(self, role: str) -> None:
        found = {each.request_id: (each.digest, set(each.done)) for each in self.erasures.pending(role)}
        assert found == {name: held for (its_role, name), held in self.open.items() if its_role == role}
        for name in REQUESTS:
            assert self.erasures.is_pending(role, name) == (name in found)


def test_queues_and_replies_are_as_a_plain_model_of_them(redis: RunningServer) -> None:
    check(Queues, redis.url)


def test_requests_to_consumers_are_as_a_plain_model_of_them(redis: RunningServer) -> None:
    check(RequestsToConsumers, redis.url)
