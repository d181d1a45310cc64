"""``history`` and ``why`` through the command line, over ledgers that real evaluations have made."""

import json
import os
import sqlite3  # noqa: TID251 - to hold the ledger as a writer does
import threading
import time

import pytest

from nodeagent.cli import main


def test_history_tells_the_newest_first(local, verb):
    local.apply("COPY files/motd $D/motd\nsh -c 'exit 3'")
    local.apply("COPY files/motd $D/motd\ntrue")
    local.apply("COPY files/motd $D/motd\ntrue")
    lines = verb("history").splitlines()
    assert [line.split()[0] for line in lines] == ["3", "2", "1"]
    assert "Request     repair" in lines[0]
    assert "NewTree     full" in lines[1]
    assert "1 created, 1 failed" in lines[2]
    assert len(verb("history", "-n", 1).splitlines()) == 1


def test_history_for_programs_has_a_schema(local, verb):
    began = time.time()
    local.apply("exit 3")
    said = json.loads(verb("history", "--json"))
    (only,) = said["evaluations"]
    assert said["schema"] == 1
    assert (only["exit_status"], only["finished"], only["reason"], only["scope"]) == (3, True, "Request", "full")
    assert began - 1 < only["began"] < time.time()
    assert only["source"] == f"directory:{local.repository}"


def test_history_wants_a_number_that_means_something(verb, capsys):
    assert main.call(["history", "-n", "0"]) == 1
    assert "-n 0" in capsys.readouterr().err


def test_why_names_the_line_and_what_was_replaced(local, verb):
    (local.root / "motd").write_text("old\n")
    (local.root / "motd").chmod(0o640)
    local.apply("COPY files/motd $D/motd\nCOPY files/motd $D/new")
    said = verb("why", local.root / "motd")
    assert "post.sh:4  COPY files/motd $D/motd" in said
    assert "before    a file, mode 0640, owner 0:0, kept as " in said
    assert "now       as nodeagent left it" in said
    assert "before    nothing stood here" in verb("why", local.root / "new")
    known = json.loads(verb("why", "--json", local.root / "motd"))
    assert (known["schema"], known["nodeagent"], known["phase"], known["as_left"]) == (1, True, "COPY", True)
    assert known["statement"] == {"file": "post.sh", "line": 4, "text": "COPY files/motd $D/motd", "gone": False}
    with open(known["before"]["copy"]) as kept:
        assert kept.read() == "old\n"


def test_why_says_when_a_file_stood_there_already(local, verb):
    (local.root / "motd").write_text("hello\n")
    local.apply("COPY files/motd $D/motd")
    said = verb("why", local.root / "motd")
    assert "adopted   it stood here already" in said
    assert "before    what stands here: nothing was replaced" in said


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_text("other"), "its content is another"),
        (lambda path: path.chmod(0o600), "its mode is 0600, and was left as 0644"),
        (lambda path: os.chown(path, 7, 8), "its owner is 7:8, and was left as 0:0"),
        (lambda path: path.unlink(), "it is gone"),
        (lambda path: (path.unlink(), path.symlink_to("x")), "it is a link, and was left as a file"),
        (os.utime, "as nodeagent left it"),
    ],
    ids=["content", "mode", "owner", "gone", "link", "touched"],
)
def test_why_says_what_differs(local, verb, damage, words):
    local.apply("COPY files/motd $D/motd")
    damage(local.root / "motd")
    assert f"now       {words}" in verb("why", local.root / "motd")


def test_why_tells_appended_blocks_one_by_one(local, verb):
    (local.root / "hosts").write_text("127.0.0.1 localhost\nadopted\n")
    local.apply("echo one >>$D/hosts\necho adopted >>$D/hosts")
    local.apply("echo one >>$D/hosts\necho adopted >>$D/hosts\necho two >>$D/hosts")
    said = verb("why", local.root / "hosts")
    assert "APPEND    post.sh:4  echo one >>$D/hosts" in said
    assert "ADOPTED   post.sh:5  echo adopted >>$D/hosts" in said
    assert "APPEND    post.sh:6  echo two >>$D/hosts" in said
    blocks = json.loads(verb("why", "--json", local.root / "hosts"))["blocks"]
    written = {block["text"]: block["written"] for block in blocks}
    assert written["adopted\n"] is None
    assert written["one\n"] < written["two\n"]


def test_why_follows_what_a_user_means(local, verb, monkeypatch):
    local.apply("COPY files/motd $D/etc/motd")
    (local.root / "link").symlink_to("etc/motd")
    (local.root / "etc-link").symlink_to("etc")
    monkeypatch.chdir(local.root / "etc")
    for name in ("motd", "./motd", "../etc/motd", "../etc-link/motd", "../link"):
        assert "post.sh:4" in verb("why", name), name
    assert verb("why", "../link").startswith("../link is a link to ")
    assert "2 destinations" in verb("why", "..", status=1)


def test_why_says_of_others_who_they_are(local, verb):
    local.apply("true")
    (local.root / "mine").write_text("x")
    said = verb("why", local.root / "mine", status=1)
    assert "not nodeagent's" in said
    assert "a file of root, mode 0644" in said
    assert "nothing that can be seen" in verb("why", local.root / "nowhere", status=1)
    assert "(proc, proc)" in verb("why", "/proc/self", status=1)


@pytest.mark.skipif(not os.path.exists("/usr/bin/dpkg-query"), reason="needs dpkg")
def test_why_names_the_package_of_a_file(local, verb):
    local.apply("true")
    assert json.loads(verb("why", "--json", "/usr/bin/dpkg-query", status=1))["package"] == "dpkg"


def test_reading_needs_a_ledger_and_does_not_make_one(local, capsys):
    assert main.call(["why", "--state", str(local.state), "/etc/motd"]) == 1
    assert "there is no ledger" in capsys.readouterr().err
    assert not local.state.exists()


def test_reading_as_another_user_says_that_root_is_needed(local_site, place, capfd):
    local = local_site(place)
    local.apply("true")
    arguments = ["history", "--state", str(local.state)]
    assert main.call(arguments) == 0
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        os._exit(main.call(arguments))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert "run this as root" in capfd.readouterr().err


def test_a_ledger_of_another_version_is_not_read(local, capsys):
    local.apply("true")
    with sqlite3.connect(local.state / "ledger.db") as connection:
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert main.call(["history", "--state", str(local.state)]) == 1
    assert "is of version 1" in capsys.readouterr().err


def test_reading_goes_on_while_an_agent_applies(local, verb):
    local.apply("COPY files/motd $D/motd")
    gate, seen = local.top / "gate", []
    os.mkfifo(gate)
    applying = threading.Thread(target=lambda: seen.append(verb("history")))
    body = f"sh -c 'echo x >$0; cat $0' {gate} >/dev/null"

    def look():
        with open(gate) as opened:  # the step has begun, and goes on only when it can write
            opened.read()
        applying.run()
        seen.append(verb("why", local.root / "motd"))
        with open(gate, "w") as opened:
            opened.write("go on")

    looker = threading.Thread(target=look)
    looker.start()
    local.apply(f"COPY files/motd $D/motd\n{body}")
    looker.join(30)
    assert "under way" in seen[0].splitlines()[0]
    assert "post.sh:4" in seen[1]
    assert "under way" not in verb("history")
