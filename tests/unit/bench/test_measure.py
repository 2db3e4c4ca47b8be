from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from bench.measure import cpu_seconds, process_tree


@pytest.fixture
def family() -> Iterator[int]:
    """A shell with a child in a session of its own, as supervisord and its programs are."""
    with subprocess.Popen(
        ["sh", "-c", "setsid sh -c 'sleep 60 & echo; wait' & wait"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        yield shell.pid
        for pid in process_tree(shell.pid):
            os.kill(pid, signal.SIGKILL)


def test_a_tree_holds_all_descendants_in_whatever_session_parents_first(family: int) -> None:
    tree = process_tree(family)
    assert tree[0] == family
    assert len({os.getsid(pid) for pid in tree}) == 2
    assert len(tree) == 3


def test_a_tree_of_a_process_that_has_ended_is_itself_alone() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert process_tree(process.pid) == [process.pid]
    assert cpu_seconds([process.pid]) == 0.0


def test_cpu_time_is_that_of_all_threads_and_of_children_that_have_ended() -> None:
    subprocess.run(["sh", "-c", "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done"], check=True)
    before_s = time.process_time()
    found_s = cpu_seconds([os.getpid()])
    after_s = time.process_time()
    times = os.times()
    children_s = times.children_user + times.children_system
    assert children_s > 0
    assert before_s <= found_s - children_s + 1e-6
    assert found_s - children_s - 1e-6 <= after_s
