"""Replies and commands of Redis' protocol are framed by the proxy of the tests."""

from __future__ import annotations

import pytest

from tests.resp import command_names, reply_end

REPLIES = [
    b"+OK\r\n",
    b"-READONLY no writes\r\n",
    b":12\r\n",
    b"$5\r\na\r\nbc\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
    b"%1\r\n+name\r\n*1\r\n_\r\n",
    b"|1\r\n+ttl\r\n:3\r\n$2\r\nab\r\n",
    b">2\r\n+message\r\n$0\r\n\r\n",
]


@pytest.mark.parametrize("reply", REPLIES)
def test_a_reply_ends_where_the_next_one_begins(reply: bytes) -> None:
    assert reply_end(reply + b"+OK\r\n") == len(reply)
    assert [reply_end(reply[:length]) for length in range(len(reply))] == [None] * len(reply)


def test_commands_are_named_once_they_are_whole() -> None:
    sent = b"*1\r\n$4\r\nping\r\n*3\r\n$7\r\nEVALSHA\r\n$2\r\n\r\n\r\n$1\r\n0\r\n"
    for length in range(len(sent)):
        first, rest = command_names(sent[:length])
        then, nothing = command_names(rest + sent[length:])
        assert first + then == [b"PING", b"EVALSHA"]
        assert nothing == b""
