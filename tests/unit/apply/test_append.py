import errno
import os
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeagent.apply import rewrite
from nodeagent.apply.append import Appends, append
from nodeagent.apply.copy import copy
from nodeagent.apply.rsync import parse
from nodeagent.apply.write import write
from nodeagent.model.evaluation import Change

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="owners can be given by root only")


class Program:
    """What a post.sh does with files, evaluation by evaluation."""

    def __init__(self, top, destinations):
        self.top = top
        self.destinations = destinations
        self.session = Appends()

    def append(self, path, text, statement="1", umask=0o022):
        return append(
            path,
            cwd=str(self.top),
            text=text,
            statement=statement,
            umask=umask,
            destinations=self.destinations,
            session=self.session,
        )

    def write(self, path, text):
        return write(path, cwd=str(self.top), text=text, umask=0o022, destinations=self.destinations)

    def copy(self, source, to):
        reports = []
        copy(
            [source],
            to,
            cwd=str(self.top),
            umask=0o022,
            options=parse(["-a"]),
            make_parent=True,
            destinations=self.destinations,
            report=reports.append,
        )
        return reports[-1]

    def next_evaluation(self, statements=None):
        self.destinations.next_evaluation()
        self.session = Appends(statements=statements)


@pytest.fixture
def top(tmp_path):
    return tmp_path.resolve()


@pytest.fixture
def program(top, destinations):
    return Program(top, destinations)


def attributes(path):
    there = os.lstat(path)
    return stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid


def test_a_missing_file_is_made_with_the_umask(program, top):
    result = program.append("f", b"a\n", umask=0o077)
    assert (result.path, result.change) == (f"{top}/f", Change.CREATED)
    assert ((top / "f").read_bytes(), attributes(top / "f")[0]) == (b"a\n", 0o600)


def test_an_empty_text_makes_a_missing_file_and_does_nothing_to_another(program, top):
    assert program.append("f", b"").change is Change.CREATED
    assert (top / "f").read_bytes() == b""
    (top / "g").write_bytes(b"x")
    assert program.append("g", b"").change is Change.UNCHANGED


def test_a_text_is_added_in_place_so_that_who_holds_the_file_keeps_it(program, top, destinations):
    (top / "f").write_bytes(b"x\n")
    with open(top / "f", "rb") as held:
        assert program.append("f", b"a\n").change is Change.UPDATED
        assert held.read() == b"x\na\n"
    assert destinations.kept == {f"{top}/f": b"x\n"}


def test_every_further_evaluation_touches_nothing(program, top):
    (top / "f").write_bytes(b"x\n")
    for number, text in enumerate([b"a\n", b"a\n", b"no newline", b"b\n"]):
        program.append("f", text, str(number))
    assert (top / "f").read_bytes() == b"x\na\na\nno newlineb\n"
    before = os.stat(top / "f")
    for _ in range(3):
        program.next_evaluation()
        for number, text in enumerate([b"a\n", b"a\n", b"no newline", b"b\n"]):
            assert program.append("f", text, str(number)).change is Change.UNCHANGED
        assert os.stat(top / "f").st_ctime_ns == before.st_ctime_ns


def test_a_changed_text_replaces_the_old_one_and_the_rest_stays(program, top):
    (top / "f").write_bytes(b"x\n")
    os.chmod(top / "f", 0o600)
    program.append("f", b"a\n", "1")
    program.append("f", b"b\n", "2")
    program.next_evaluation()
    assert program.append("f", b"c\n", "1").change is Change.UPDATED
    assert program.append("f", b"b\n", "2").change is Change.UNCHANGED
    assert ((top / "f").read_bytes(), attributes(top / "f")[0]) == (b"x\nc\nb\n", 0o600)


def test_an_edited_statement_s_text_replaces_the_old_one_when_the_program_is_known(program, top):
    program.append("f", b"10.0.0.1 head\n", "old key")
    program.next_evaluation(statements={"new key"})
    program.append("f", b"10.0.0.2 head\n", "new key")
    assert (top / "f").read_bytes() == b"10.0.0.2 head\n"


@root_only
def test_a_replacement_keeps_the_owner(program, top):
    program.append("f", b"a\n")
    os.chown(top / "f", 12, 34)
    program.next_evaluation()
    program.append("f", b"b\n")
    assert attributes(top / "f") == (0o644, 12, 34)


def test_a_replacement_in_a_file_with_several_names_reaches_all_of_them(program, top):
    program.append("f", b"a\n")
    os.link(top / "f", top / "second")
    program.next_evaluation()
    program.append("f", b"b\n")
    assert (top / "second").read_bytes() == b"b\n"


def test_what_was_removed_by_hand_is_added_again(program, top):
    (top / "f").write_bytes(b"x\n")
    program.append("f", b"a\n")
    program.next_evaluation()
    (top / "f").write_bytes(b"x\ny\n")
    assert program.append("f", b"a\n").change is Change.UPDATED
    assert (top / "f").read_bytes() == b"x\ny\na\n"


@root_only
def test_a_removed_file_comes_back_with_the_mode_and_owner_it_was_left_with(program, top):
    program.append("f", b"a\n")
    os.chmod(top / "f", 0o400)
    os.chown(top / "f", 12, 34)
    program.next_evaluation()
    (top / "f").unlink()
    assert program.append("f", b"a\n").change is Change.CREATED
    assert attributes(top / "f") == (0o400, 12, 34)


def test_what_stood_there_before_is_adopted_and_survives_a_change_of_the_text(program, top, destinations):
    (top / "f").write_bytes(b"a\nx\n")
    assert program.append("f", b"a\n").change is Change.UNCHANGED
    assert destinations.all_blocks[f"{top}/f"][0].adopted
    program.next_evaluation()
    assert program.append("f", b"b\n").change is Change.UPDATED
    assert (top / "f").read_bytes() == b"a\nx\nb\n"


def test_with_a_lost_ledger_nothing_is_appended_twice(program, top, destinations):
    (top / "f").write_bytes(b"x\n")
    calls = [("1", b"a\n"), ("2", b"a\n"), ("3", b"b\nc\n")]
    for statement, text in calls:
        program.append("f", text, statement)
    content = (top / "f").read_bytes()
    program.destinations = type(destinations)()
    program.next_evaluation()
    for statement, text in calls:
        assert program.append("f", text, statement).change is Change.UNCHANGED
    assert (top / "f").read_bytes() == content


def test_a_file_that_is_copied_and_appended_to_shows_no_state_in_between_when_nothing_changed(program, top):
    (top / "source").write_bytes(b"x\n")
    program.copy("source", "f")
    program.append("f", b"a\n")
    program.append("f", b"b\n", "2")
    before = os.stat(top / "f")
    for _ in range(2):
        program.next_evaluation()
        assert program.copy("source", "f").change is Change.UNCHANGED
        assert program.append("f", b"a\n").change is Change.UNCHANGED
        assert program.append("f", b"b\n", "2").change is Change.UNCHANGED
        assert os.stat(top / "f").st_ctime_ns == before.st_ctime_ns


def test_a_new_copy_under_an_append_gets_the_text_again(program, top):
    (top / "source").write_bytes(b"x\n")
    program.copy("source", "f")
    program.append("f", b"a\n")
    program.next_evaluation()
    (top / "source").write_bytes(b"y\n")
    program.copy("source", "f")
    program.append("f", b"a\n")
    assert (top / "f").read_bytes() == b"y\na\n"


def test_a_changed_append_above_a_settled_copy_replaces_only_its_text(program, top):
    (top / "source").write_bytes(b"x\n")
    program.copy("source", "f")
    program.append("f", b"a\n")
    program.append("f", b"b\n", "2")
    program.next_evaluation()
    assert program.copy("source", "f").change is Change.UNCHANGED
    program.append("f", b"A\n")
    program.append("f", b"b\n", "2")
    assert (top / "f").read_bytes() == b"x\nA\nb\n"


def test_a_write_between_two_appends_counts(program, top):
    for _ in range(2):
        program.append("f", b"a\n")
        program.write("f", b"w\n")
        program.append("f", b"a\n", "2")
        assert (top / "f").read_bytes() == b"w\na\n"
        program.next_evaluation()


def test_a_text_that_a_later_step_edits_is_not_added_again_in_a_full_evaluation(program, top, destinations):
    """There the ledger calls it unsettled, so that COPY and WRITE begin anew."""

    class Full(type(destinations)):
        def settled(self, path, wanted):
            return False

    program.destinations = Full()
    program.append("f", b"host=@HOST@\n")
    (top / "f").write_bytes(b"host=n1\n")
    program.next_evaluation()
    assert program.append("f", b"host=@HOST@\n").change is Change.UNCHANGED
    assert (top / "f").read_bytes() == b"host=n1\n"


class Killed(BaseException):
    pass


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_text_that_a_killed_agent_had_added_is_its_own_and_makes_way_for_the_next(program, top, monkeypatch, when):
    (top / "f").write_bytes(b"theirs\n")
    program.append("f", b"one\n")
    real = rewrite.replace

    def replace(*arguments):
        if when == "after":
            real(*arguments)
        raise Killed

    monkeypatch.setattr(rewrite, "replace", replace)
    program.next_evaluation()
    with pytest.raises(Killed):
        program.append("f", b"two\n")
    monkeypatch.undo()
    program.next_evaluation()
    program.append("f", b"three\n")
    assert (top / "f").read_bytes() == b"theirs\nthree\n"


def test_a_link_is_followed(program, top):
    (top / "d").mkdir()
    (top / "link").symlink_to("d/f")
    assert program.append("link", b"a\n").path == f"{top}/d/f"
    program.append("d/f", b"b\n", "2")
    assert (top / "d/f").read_bytes() == b"a\nb\n"


@root_only
def test_somebody_else_s_link_or_second_name_is_not_written_through(program, top):
    (top / "victim").write_bytes(b"x\n")
    (top / "theirs").mkdir()
    (top / "theirs/link").symlink_to(top / "victim")
    os.link(top / "victim", top / "theirs/second")
    os.chown(top / "theirs", 1234, 1234)
    assert "not followed" in program.append("theirs/link", b"a\n").reason
    assert "several names" in program.append("theirs/second", b"a\n").reason
    assert (top / "victim").read_bytes() == b"x\n"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no/f", "cannot create no/f: No such file or directory"),
        ("d", "cannot create d: Is a directory"),
        ("file/f", "cannot create file/f: Not a directory"),
        ("fifo", "cannot create fifo: Not a regular file"),
    ],
)
def test_it_fails_where_a_redirection_fails_or_is_not_nodeagent_s(program, top, path, reason):
    (top / "d").mkdir()
    (top / "file").touch()
    os.mkfifo(top / "fifo")
    result = program.append(path, b"a\n")
    assert (result.change, result.reason, result.path) == (Change.FAILED, reason, f"{top}/{path}")


TEXTS = [b"a\n", b"b\n", b"a\nb\n", b"c", b"\n", b""]


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    report_multiple_bugs=False,
)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("cwa"), st.sampled_from("123"), st.sampled_from(TEXTS)), max_size=6),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
)
def test_any_program_run_twice_changes_nothing_the_second_time(tmp_path_factory, request, runs, existing):
    top = tmp_path_factory.mktemp("any").resolve()
    program = Program(top, request.getfixturevalue("destinations").__class__())
    if existing:
        (top / "f").write_bytes(b"x\na\n")

    def run(steps):
        changes = []
        for verb, statement, text in steps:
            if verb == "a":
                changes.append(program.append("f", text, statement).change)
            elif verb == "w":
                changes.append(program.write("f", text).change)
            else:
                (top / "source").write_bytes(text)
                changes.append(program.copy("source", "f").change)
        program.next_evaluation()
        return changes

    for steps in runs:
        run(steps)
        before = os.stat(top / "f") if steps else None
        assert set(run(steps)) <= {Change.UNCHANGED}
        assert before is None or os.stat(top / "f").st_ctime_ns == before.st_ctime_ns


def test_text_that_is_added_in_place_is_on_disk_when_the_append_is_done(top, destinations, monkeypatch):
    (top / "f").write_bytes(b"theirs\n")
    fsync, synced = os.fsync, []

    def watched(fd):
        fsync(fd)
        synced.append((os.fstat(fd).st_ino, os.pread(fd, 100, 0)))

    monkeypatch.setattr(os, "fsync", watched)
    assert Program(top, destinations).append("f", b"ours\n").change is Change.UPDATED
    assert synced == [((top / "f").stat().st_ino, b"theirs\nours\n")]


def test_text_that_the_disk_fails_to_take_is_taken_back(top, destinations, monkeypatch):
    (top / "f").write_bytes(b"theirs\n")

    def fails(_fd):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fails)
    done = Program(top, destinations).append("f", b"ours\n")
    assert done.change is Change.FAILED
    assert (top / "f").read_bytes() == b"theirs\n"
