import os
from pathlib import Path

import pytest

from nodeagent.errors import NotNow
from nodeagent.model.events import Event, Reporter
from nodeagent.model.outcomes import PollOutcome
from nodeagent.report import presence
from nodeagent.workers import worker
from nodeagent.workers.stop import Stop


class Quiet:
    def report(self, event: Event) -> None: ...


def elsewhere(job: worker.Job) -> object:
    return worker.run("test", job, Quiet(), time_limit=30)


def test_nobody_is_there_before_and_after(tmp_path: Path) -> None:
    assert presence.holder(tmp_path) is None
    with presence.claim(tmp_path):
        pass
    assert presence.holder(tmp_path) is None


def test_who_is_there_is_seen_from_another_process_which_does_not_disturb_it(tmp_path: Path) -> None:
    def look(_reporter: Reporter, _stop: Stop) -> object:
        return PollOutcome(commit=str(presence.holder(tmp_path)), moved=False)

    with presence.claim(tmp_path):
        for _ in range(2):
            assert elsewhere(look) == PollOutcome(commit=str(os.getpid()), moved=False)


def test_a_second_daemon_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    def second(_reporter: Reporter, _stop: Stop) -> object:
        with presence.claim(tmp_path):
            return PollOutcome(commit="", moved=False)

    with presence.claim(tmp_path):
        outcome = elsewhere(second)
    assert getattr(outcome, "code", "") == NotNow.code
    assert f"as process {os.getpid()}" in getattr(outcome, "message", "")
    assert elsewhere(second) == PollOutcome(commit="", moved=False)


def test_a_worker_of_the_daemon_does_not_keep_the_claim_alive(tmp_path: Path) -> None:
    def look(_reporter: Reporter, _stop: Stop) -> object:
        return PollOutcome(commit=str(presence.holder(tmp_path)), moved=False)

    with presence.claim(tmp_path):
        sleeper = worker.start(
            "sleeper", lambda _r, stop: stop.wait(30) and PollOutcome(commit="", moved=False), time_limit=30
        )
    assert elsewhere(look) == PollOutcome(commit="None", moved=False)
    sleeper.stop(30)
    while not sleeper.done:
        sleeper.advance()


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / presence.FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), presence.claim(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()
