import pytest

from nodeagent.daemon import hearsay
from nodeagent.daemon.hearsay import Hearsay
from nodeagent.model.evaluation import Commit
from nodeagent.model.events import Event, Looked, Notice, Reporter
from nodeagent.model.outcomes import AcceptOutcome, ApplyOutcome, Failure, Mode, PollOutcome
from nodeagent.workers.stop import Stop

COMMIT = "0123456789abcdef" * 2 + "01234567"


def failed(code: str = "RemoteUnreachable", message: str = "away", *, transient: bool = True) -> PollOutcome:
    return PollOutcome(commit="", moved=False, failure=Failure(code=code, message=message, transient=transient))


def test_only_the_first_look_counts() -> None:
    said = Hearsay()
    assert said.event(Looked(quiet=False)) is None
    assert said.event(Looked(quiet=True)) is None
    assert said.looked == Looked(quiet=False)


def test_what_is_in_order_passes_as_it_is() -> None:
    notice = Notice(priority=4, text="attempt 1 failed", code="RemoteUnreachable")
    assert Hearsay().event(notice) == notice
    for outcome in (PollOutcome(commit=COMMIT, moved=True), failed(), failed("HostKeyMismatch", transient=False)):
        assert hearsay.outcome(outcome) == outcome


def test_a_notice_is_one_line_of_bounded_length_and_cannot_shout_or_invent_a_code() -> None:
    heard = Hearsay().event(Notice(priority=0, text="a\n\33[2J" + "x" * 10_000, code="Reassuring", path="/etc/shadow"))
    assert heard is not None
    assert heard.text.startswith(r"a\n\x1b[2Jxxx")
    assert len(heard.text) < 2100
    assert (heard.priority, heard.code, heard.path) == (4, "WorkerFailed", "")


def test_notices_come_to_an_end() -> None:
    said = Hearsay()
    heard = [said.event(Notice(priority=7, text=str(number))) for number in range(1000)]
    assert sum(notice is not None for notice in heard) == 200


@pytest.mark.parametrize(
    "said",
    [
        PollOutcome(commit="../../etc", moved=True),
        PollOutcome(commit=f"{COMMIT}\n", moved=True),
        PollOutcome(commit="a" * 65, moved=True),
        ApplyOutcome(mode=Mode.APPLYING, attempted="", applied="", ready=True),
        None,
    ],
    ids=repr,
)
def test_what_is_no_outcome_of_a_poll_is_a_failure(said: object) -> None:
    found = hearsay.outcome(said)
    assert isinstance(found, Failure)
    assert found.code == "WorkerFailed"


def test_a_failure_has_a_known_code_with_its_own_disposition_and_one_line() -> None:
    for said in (failed("Reassuring", "all\nis well", transient=False).failure, failed("Reassuring", "all\nis well")):
        found = hearsay.outcome(said)
        failure = found.failure if isinstance(found, PollOutcome) else found
        assert failure == Failure(code="WorkerFailed", message=r"Reassuring: all\nis well", transient=True)
    assert hearsay.outcome(failed("HostKeyMismatch", transient=True)) == failed("HostKeyMismatch", transient=False)


def test_a_command_line_hears_no_more_of_a_worker_than_the_daemon_does() -> None:
    class Recorder:
        heard: list[Event] = []  # noqa: RUF012 - of this test alone

        def report(self, event: Event) -> None:
            self.heard.append(event)

    def job(reporter: Reporter, stop: Stop) -> PollOutcome:
        reporter.report(Looked(quiet=True))
        reporter.report(Notice(priority=0, text="a\33[2J", code="Reassuring"))
        return failed("Reassuring", "all\nis well")

    found = hearsay.run("fetch", job, Recorder(), time_limit=20)
    assert Recorder.heard == [Notice(priority=4, text=r"a\x1b[2J", code="WorkerFailed")]
    assert isinstance(found, PollOutcome)
    assert found.failure == Failure(code="WorkerFailed", message=r"Reassuring: all\nis well", transient=True)


@pytest.mark.parametrize(("commit", "text"), [(COMMIT, "main\33[2J"), ("../etc", "main")])
def test_what_is_found_of_a_commit_to_accept_names_commits(commit: str, text: str) -> None:
    origin = Commit(author="A", authored=0, subject="s")
    said = AcceptOutcome(commit=commit, head=COMMIT, shown=text, origin=origin, needed=True)
    found = hearsay.outcome(said)
    if commit == COMMIT:
        assert isinstance(found, AcceptOutcome)
        assert found.shown == r"main\x1b[2J"
    else:
        assert isinstance(found, Failure)
