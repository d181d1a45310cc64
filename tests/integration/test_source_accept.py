"""``nodeagent accept`` against a real server: a history that was rewritten is followed when a person says so."""

import contextlib
import io
import json
import os
import pty
import sqlite3  # noqa: TID251 - to read what was kept
import subprocess  # noqa: TID251 - an agent in a process of its own
import sys
import threading

import pytest

from nodeagent import reconcile
from nodeagent.cli import accept, main
from nodeagent.ledger import database
from nodeagent.situation import Wishes
from nodeagent.workers import worker


class Recorder:
    def __init__(self):
        self.events = []

    def report(self, event):
        self.events.append(event)


class Node:
    """A node that follows the site by what a configuration file says."""

    def __init__(self, site):
        self.site = site
        self.config = site.config(first_start="apply")
        self.file = site.directory / "nodeagent.toml"
        source, paths = self.config.source, self.config.paths
        self.file.write_text(
            f'jobs.probe = "none"\nfirst_start = "apply"\ninterval = 1\npassword.file = "{site.password_file}"\n'
            f'[source]\nurl = "{source.url}"\nkey = "{source.key}"\nknown_hosts = "{source.known_hosts}"\n'
            f'checkout = "{source.checkout}"\nuser = "{source.user}"\n'
            f'[paths]\nstate = "{paths.state}"\ncache = "{paths.cache}"\nruntime = "{paths.runtime}"\n'
        )
        self.target = site.directory / "motd"
        self.known = ""

    def push(self, text):
        body = f'#!/bin/sh\nCOPY() {{ rsync -a "$1" "$2"; }}\nCOPY files/motd {self.target}\n'
        return self.site.repository.commit({"post.sh": body, "files/motd": text}, message=f"Say {text}")

    def cycle(self):
        """What the daemon's two workers do; the failure's code, or empty."""

        def look(reporter, stop):
            return reconcile.poll(self.config, self.known, stop, reporter)

        found = worker.run("poll", look, Recorder(), time_limit=30)
        self.known = found.commit or self.known
        done = reconcile.apply_cycle(self.config, found.commit, threading.Event(), Recorder(), Wishes())
        failure = found.failure or done.failure
        self.message = failure.message if failure else ""
        return failure.code if failure else ""

    def accept(self, *arguments):
        return main.call(["accept", "--config", str(self.file), *arguments])

    def kept(self):
        connection = sqlite3.connect(self.config.paths.state / "ledger.db")
        rows = connection.execute("SELECT former, commit_id, reason, who, ended IS NULL FROM accepted").fetchall()
        connection.close()
        return rows


@pytest.fixture
def node(site):
    return Node(site)


def rewritten(node):
    """A node at one of two commits, and the branch rewritten from the first: the two that do not descend."""
    node.push("one")
    old = node.push("two")
    assert node.cycle() == ""
    node.site.repository.git("reset", "-q", "--hard", "HEAD~1")
    new = node.push("other")
    assert node.cycle() == "NonFastForward"
    assert node.target.read_text() == "two"
    return old, new


def test_the_refusal_shows_both_commits_their_dates_and_the_way_out(node):
    old, new = rewritten(node)

    assert f"nodeagent accept {new} --reason" in node.message
    for commit in (old, new):
        _, _, behind = node.message.partition(f"{commit} of ")
        assert behind[4] == "-"
        assert behind[20:23] == "UTC"


def test_a_rewritten_branch_is_followed_once_it_is_accepted_and_the_ledger_tells_who_and_why(node, monkeypatch, capsys):
    old, new = rewritten(node)
    monkeypatch.setenv("SUDO_USER", "alice")

    assert node.accept(new, "--reason", "a secret was cut out", "--yes") == 0

    said = capsys.readouterr().out
    assert old in said
    assert new in said
    assert "Say two" in said
    assert "Say other" in said
    ((former, commit, reason, who, waiting),) = node.kept()
    assert (former, commit, reason, waiting) == (old, new, "a secret was cut out", 1)
    assert who
    assert node.cycle() == ""
    assert node.target.read_text() == "other"
    assert node.kept()[0][-1] == 0


def loginuid():
    with open("/proc/self/loginuid") as file:
        return int(file.read()) != 2**32 - 1


def test_who_called_sudo_is_named_where_the_kernel_knows_of_no_login(node, monkeypatch):
    if loginuid():
        pytest.skip("needs a session without a login uid")
    _, new = rewritten(node)
    monkeypatch.setenv("SUDO_USER", "alice")

    assert node.accept(new, "--reason", "meant", "--yes") == 0

    assert node.kept()[0][3] == "alice"


def test_commits_behind_the_accepted_one_are_followed_too(node):
    _, new = rewritten(node)
    assert node.accept(new, "--reason", "meant", "--yes") == 0
    node.push("still later")

    assert node.cycle() == ""

    assert node.target.read_text() == "still later"


def test_an_acceptance_does_not_hold_for_another_history(node):
    _, new = rewritten(node)
    assert node.accept(new, "--reason", "meant", "--yes") == 0
    node.site.repository.git("reset", "-q", "--hard", "HEAD~1")
    node.push("a third")

    assert node.cycle() == "NonFastForward"


def test_an_acceptance_is_used_up_by_the_next_revision(node):
    old, new = rewritten(node)
    assert node.accept(new, "--reason", "meant", "--yes") == 0
    node.site.repository.git("reset", "-q", "--hard", old)
    node.push("restored")
    assert node.cycle() == ""
    node.site.repository.git("reset", "-q", "--hard", new)
    node.site.repository.push()

    assert node.cycle() == "NonFastForward"

    assert node.target.read_text() == "restored"


def test_a_branch_that_is_restored_is_followed_without_a_word_also_by_a_daemon_that_began_meanwhile(node):
    old, _ = rewritten(node)
    node.known = ""
    assert node.cycle() == "NonFastForward"
    node.site.repository.git("reset", "-q", "--hard", old)
    node.push("restored")

    assert node.cycle() == ""

    assert node.target.read_text() == "restored"


def test_a_branch_that_went_back_is_accepted_also_behind_the_border_of_a_shallow_store(node):
    first = node.push("one")
    node.push("two")
    node.push("three")
    assert node.cycle() == ""
    node.site.repository.git("reset", "-q", "--hard", first)
    node.site.repository.push()
    assert node.cycle() == "NonFastForward"

    assert node.accept("main", "--reason", "two was wrong", "--yes") == 0

    assert node.cycle() == ""
    assert node.target.read_text() == "one"


def test_where_nothing_is_to_be_accepted_it_says_so_and_succeeds(node, capsys):
    node.push("one")
    node.cycle()
    new = node.push("two")

    assert node.accept(new, "--reason", "on all nodes") == 0

    assert "Nothing is to be accepted" in capsys.readouterr().out
    assert node.kept() == []


def test_a_commit_that_the_server_does_not_follow_is_refused(node, capsys):
    old, _ = rewritten(node)

    assert node.accept("1" * 40, "--reason", "meant", "--yes") == 1
    assert node.accept(old, "--reason", "meant", "--yes") == 1  # the store has it; the server's branch does not

    assert capsys.readouterr().err.count("is not in its history") == 2
    assert node.kept() == []


def test_without_a_terminal_yes_is_needed(node, capsys, monkeypatch):
    _, new = rewritten(node)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))

    assert node.accept(new, "--reason", "meant") == 1

    assert "--yes" in capsys.readouterr().err
    assert node.kept() == []


def test_a_reason_of_nothing_is_refused(node, capsys):
    assert node.accept("main", "--reason", " ", "--yes") == 1
    assert "--reason" in capsys.readouterr().err


def test_a_node_to_which_nothing_was_applied_has_nothing_to_accept(node, capsys):
    node.push("one")

    assert node.accept("main", "--reason", "meant", "--yes") == 1

    assert "there is no ledger" in capsys.readouterr().err


def test_while_another_agent_is_at_work_it_is_not_now(node):
    _, new = rewritten(node)
    command = [sys.executable, "-m", "nodeagent", "accept", "--config", node.file, new, "--reason", "meant", "--yes"]

    with database.opened(node.config.paths.state, wait=False, warn=print):
        done = subprocess.run(command, check=False, capture_output=True, timeout=30)

    assert done.returncode == 75, done.stderr


def test_history_tells_what_was_accepted_by_whom_and_why(node, capsys):
    old, new = rewritten(node)
    assert node.accept(new, "--reason", "a secret was cut out", "--yes") == 0
    capsys.readouterr()

    def told(*arguments):
        assert main.call(["history", "--config", str(node.file), *arguments]) == 0
        return capsys.readouterr().out

    waiting, *_ = told().splitlines()
    assert f"accepted {new[:12]} instead of {old[:12]}, and is waited for: a secret was cut out" in waiting
    assert node.cycle() == ""
    newest, taken, *_ = told().splitlines()
    assert f"accepted {new[:12]} instead of {old[:12]}: a secret was cut out" in taken
    assert new[:12] in newest
    assert len(told("-n", "1").splitlines()) == 1
    (known,) = json.loads(told("--json"))["acceptances"]
    assert (known["former"], known["commit"], known["reason"]) == (old, new, "a secret was cut out")
    assert known["who"]
    assert known["since"] <= known["ended"]


def test_the_log_tells_what_was_accepted_by_whom_and_why(node, monkeypatch):
    old, new = rewritten(node)
    log = Recorder()
    monkeypatch.setattr(accept, "open_reporter", lambda: log)

    assert node.accept(new, "--reason", "a secret\nwas cut out", "--yes") == 0

    ((_, _, reason, who, _),) = node.kept()
    assert [(event.priority, event.text) for event in log.events] == [
        (5, f"{who} accepted {new} instead of {old}: {reason}")
    ]
    assert reason.isprintable()


def at_a_terminal(node, new, answer):
    """An accept with a terminal for stdin, stdout and stderr: its exit code, and what stood there before the answer."""
    command = [sys.executable, "-m", "nodeagent", "accept", "--config", str(node.file), new, "--reason", "meant"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    shown = b""
    while b"[y/N] " not in shown:
        shown += os.read(terminal, 4096)
    assert node.kept() == []
    os.write(terminal, answer)
    with contextlib.suppress(OSError):  # EIO: the other side has closed
        while os.read(terminal, 4096):
            pass
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"Yes\n", 0), (b"\n", 1), (b"n\n", 1), (b"\x04", 1)])
def test_at_a_terminal_it_shows_both_commits_and_asks(node, answer, code):
    old, new = rewritten(node)

    found, shown = at_a_terminal(node, new, answer)

    assert found == code
    assert shown.index(old) < shown.index("Say two") < shown.index(new) < shown.index("Say other")
    assert shown.endswith("Accept it? [y/N] ")
    assert [row[1] for row in node.kept()] == ([new] if code == 0 else [])


def test_json_tells_from_and_to(node, capsys):
    old, new = rewritten(node)

    assert node.accept(new, "--reason", "meant", "--yes", "--json") == 0

    said = json.loads(capsys.readouterr().out)
    assert (said["schema"], said["accepted"], said["reason"]) == (1, True, "meant")
    assert (said["from"]["commit"], said["to"]["commit"], said["head"]) == (old, new, new)
    assert said["to"]["origin"]["subject"] == "Say other"
