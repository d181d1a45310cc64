"""Real forked children that write a stream."""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from nodeagent.errors import RevisionRejected, WorkerFailed
from nodeagent.workers.stream import stream

LIMIT = 20.0


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert set(os.listdir("/proc/self/fd")) == before
    with contextlib.suppress(ChildProcessError):
        assert os.waitpid(-1, os.WNOHANG) == (0, 0), "a zombie is left"


def test_what_the_child_writes_is_read_to_the_last_byte() -> None:
    payload = os.urandom(1_000_000)
    with stream(lambda out: out.write(payload) and None, time_limit=LIMIT) as source:
        assert source.read() == payload


def test_reading_to_the_end_is_not_asked_of_the_block() -> None:
    with stream(lambda out: out.write(b"head" + bytes(500_000)) and None, time_limit=LIMIT) as source:
        assert source.read(4) == b"head"


def test_the_child_stays_in_the_caller_s_group() -> None:
    with stream(lambda out: out.write(b"%d" % os.getpgid(0)) and None, time_limit=LIMIT) as source:
        assert int(source.read()) == os.getpgid(0)


def test_the_child_has_only_what_it_was_given(tmp_path: object) -> None:
    receiver, sender = os.pipe()

    def job(out: BinaryIO) -> None:
        os.write(sender, b"by the kept one")
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(receiver)
        out.write(b"done")

    try:
        with stream(job, time_limit=LIMIT, keep=[sender]) as source:
            assert source.read() == b"done"
        assert os.read(receiver, 100) == b"by the kept one"
    finally:
        os.close(receiver)
        os.close(sender)


def test_an_expected_error_of_the_child_is_raised_here() -> None:
    def job(out: BinaryIO) -> None:
        out.write(b"some")
        raise RevisionRejected("too large")

    with pytest.raises(RevisionRejected, match="too large"), stream(job, time_limit=LIMIT) as source:
        assert source.read() == b"some"


def test_a_bug_of_the_child_is_raised_as_a_failed_worker() -> None:
    def job(_out: BinaryIO) -> None:
        raise KeyError("bug")

    with pytest.raises(WorkerFailed, match="KeyError: 'bug'"), stream(job, time_limit=LIMIT) as source:
        source.read()


def test_a_killed_child_is_raised_as_a_failed_worker() -> None:
    with pytest.raises(WorkerFailed, match="killed by signal 9"):  # noqa: SIM117 - the block is what raises
        with stream(lambda _out: os.kill(os.getpid(), signal.SIGKILL), time_limit=LIMIT) as source:
            source.read()


def test_an_error_of_the_block_over_a_broken_stream_names_the_child_s_error() -> None:
    def job(_out: BinaryIO) -> None:
        raise RevisionRejected("the cause")

    with pytest.raises(RevisionRejected, match="the cause") as caught, stream(job, time_limit=LIMIT) as source:
        int(source.read())
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_error_of_the_block_is_its_own_and_the_child_is_killed() -> None:
    def job(out: BinaryIO) -> None:
        out.write(b"x")
        out.flush()
        signal.pause()

    with pytest.raises(ValueError, match="invalid literal"), stream(job, time_limit=LIMIT) as source:
        int(source.read(1))


def test_an_error_of_the_block_after_a_good_end_is_its_own() -> None:
    with (
        pytest.raises(ValueError, match="invalid literal"),
        stream(lambda out: out.write(b"x") and None, time_limit=LIMIT) as s,
    ):
        int(s.read())


def test_a_child_that_hangs_is_killed_at_its_limit() -> None:
    with (
        pytest.raises(WorkerFailed, match="too long"),
        stream(lambda _out: signal.pause() and None, time_limit=0.1) as source,
    ):
        source.read()


def test_a_child_that_hangs_after_its_stream_is_killed_at_its_limit() -> None:
    def job(out: BinaryIO) -> None:
        out.close()
        signal.pause()

    with pytest.raises(WorkerFailed, match="did not end"), stream(job, time_limit=0.1) as source:
        source.read()


def test_garbage_in_place_of_a_verdict_is_no_verdict() -> None:
    def job(_out: BinaryIO) -> None:
        for fd in range(3, 64):
            with contextlib.suppress(OSError):
                os.write(fd, b"garbage")
        os._exit(3)

    with pytest.raises(WorkerFailed, match="exited with code 3"), stream(job, time_limit=LIMIT) as source:
        source.read()


def test_a_block_that_closes_the_stream_has_read_enough() -> None:
    with stream(lambda out: out.write(b"all") and None, time_limit=LIMIT) as source:
        assert source.read() == b"all"
        source.close()
