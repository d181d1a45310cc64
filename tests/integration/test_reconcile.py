"""Whole cycles of a configured source: real sshd, fetch user's store, hand-over, checkout, evaluation."""

import json
import os
import sqlite3  # noqa: TID251 - to make a ledger of another version
import threading

import pytest

from nodeagent import ancestry, node, reconcile
from nodeagent.cli import main
from nodeagent.ledger import database, watch
from nodeagent.model.evaluation import Change, Scope, Trigger
from nodeagent.model.events import Notice
from nodeagent.model.outcomes import ApplyOutcome, Mode
from nodeagent.situation import Wishes
from testbed import documents

FUNCTION = documents.commands("docs/spec.md", "merge").partition("\n}\n")[0] + "\n}\n"


class Recorder:
    def __init__(self):
        self.events = []

    def report(self, event):
        self.events.append(event)


class Node:
    """A node that follows the site; each call is what the daemon's workers do."""

    def __init__(self, site):
        self.site = site
        self.root = site.directory / "root"
        self.root.mkdir()
        self.settings = {"first_start": "apply"}
        self.commit = ""
        self.events = []  # of the last apply

    def push(self, body: str, **files: str) -> str:
        text = f'#!/bin/sh\nCOPY() {{ mkdir -p "$(dirname "$2")"; rsync -a "$1" "$2"; }}\nD={self.root}\n{body}\n'
        return self.site.repository.commit({"post.sh": text, **files})

    def apply(self, commit: str | None = None, **wishes) -> ApplyOutcome:
        """An apply worker's work, with what the store holds unless said otherwise."""
        wanted = Wishes(**wishes)
        config = self.site.config(**self.settings)
        recorder = Recorder()
        self.events = recorder.events
        return reconcile.apply_cycle(
            config, self.commit if commit is None else commit, threading.Event(), recorder, wanted
        )

    def cycle(self, **wishes) -> ApplyOutcome:
        config = self.site.config(**self.settings)
        found, _ = self.site.poll(config, self.commit, standing=ancestry.standing(config, self.commit))
        assert found.failure is None, found.failure
        self.commit = found.commit
        return self.apply(**wishes)

    def quiet(self) -> bool:
        return watch.look(self.site.config().paths.runtime, node.boot_id()) is not None


@pytest.fixture
def follower(site):
    return Node(site)


def test_a_cycle_brings_the_node_to_the_branch_and_the_next_one_has_nothing_to_do(follower):
    commit = follower.push("COPY files/motd $D/etc/motd\ntouch $D/ran", **{"files/motd": "hello\n"})
    first = follower.cycle()
    assert first.failure is None
    assert first.applied == f"main@sha1:{commit}"
    assert first.ready
    assert (follower.root / "etc/motd").read_text() == "hello\n"
    second = follower.cycle()
    assert second.evaluation is None
    assert follower.quiet()


def test_a_quiet_poll_knows_what_must_come_next_without_the_ledger(follower):
    commit = follower.push("true")
    follower.cycle()
    config = follower.site.config()
    note = watch.look(config.paths.runtime, node.boot_id())
    asked = ancestry.standing(config, "")
    assert asked.commits == (commit,)
    assert ancestry.standing(config, "", note) == asked
    (config.paths.state / "ledger.db").rename(config.paths.state / "elsewhere")
    assert ancestry.standing(config, "", note) == asked
    other = config.model_copy(update={"source": config.source.model_copy(update={"url": "ssh://git@elsewhere/r.git"})})
    assert ancestry.standing(other, "", note) == ancestry.standing(other, "")


def test_the_checkout_belongs_to_root_and_nobody_else_enters_it(follower):
    follower.push("true", **{"files/a": "a"})
    follower.cycle()
    checkout = follower.site.config().source.checkout
    assert checkout.stat().st_mode & 0o7777 == 0o700
    assert (checkout / "post.sh").stat().st_mode & 0o7777 == 0o755
    assert not (checkout / ".git").exists()


def test_a_new_commit_is_applied_and_one_of_documentation_runs_nothing_again(follower):
    follower.push("echo ran >>$D/var.log")
    follower.push("sh -c 'echo ran >>$0' $D/ran.log")
    assert follower.cycle().evaluation.trigger is Trigger.BOOT
    commit = follower.push("sh -c 'echo ran >>$0' $D/ran.log", **{"README.md": "words"})
    outcome = follower.cycle()
    assert outcome.evaluation.scope is Scope.REPAIR
    assert outcome.applied == f"main@sha1:{commit}"
    follower.push("sh -c 'echo ran >>$0' $D/ran.log", **{"files/x": "x"})
    assert follower.cycle().evaluation.scope is Scope.FULL
    assert (follower.root / "ran.log").read_text() == "ran\nran\n"


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("other"),
        lambda path: path.unlink(),
        lambda path: path.chmod(0o600),
        lambda path: os.chown(path, 1, 1),
        lambda path: (path.unlink(), path.symlink_to("/etc/hostname")),
    ],
    ids=["changed", "removed", "mode", "owner", "link"],
)
def test_drift_is_noticed_without_the_ledger_and_put_back(follower, damage):
    follower.push("COPY files/motd $D/motd", **{"files/motd": "hello\n"})
    follower.cycle()
    path = follower.root / "motd"
    before = (path.stat().st_mode, path.stat().st_uid)
    damage(path)
    assert not follower.quiet()
    outcome = follower.cycle()
    assert (outcome.drifted, outcome.evaluation.trigger) == (1, Trigger.DRIFT)
    assert path.read_text() == "hello\n"
    assert (path.stat().st_mode, path.stat().st_uid) == before
    assert not path.is_symlink()
    assert follower.quiet()


def test_a_destination_that_was_only_touched_is_no_drift(follower):
    follower.push("COPY files/motd $D/motd", **{"files/motd": "hello\n"})
    follower.cycle()
    (follower.root / "motd").touch()
    assert not follower.quiet()
    assert follower.cycle().evaluation is None
    assert follower.quiet()


def test_without_the_server_the_last_good_revision_is_enforced(follower):
    follower.push("COPY files/motd $D/motd", **{"files/motd": "hello\n"})
    follower.cycle()
    follower.site.server.stop()
    (follower.root / "motd").write_text("other")
    assert follower.apply("").drifted == 1
    assert (follower.root / "motd").read_text() == "hello\n"


def test_a_refused_revision_leaves_the_one_before_in_force(follower):
    good = follower.push("COPY files/motd $D/motd", **{"files/motd": "hello\n"})
    follower.cycle()
    follower.push("true", **{"files/large": "x" * 5000})
    follower.settings["limits"] = {"file_bytes": 1000}
    (follower.root / "motd").write_text("other")
    outcome = follower.cycle()
    assert outcome.failure.code == "RevisionRejected"
    assert "files/large" in outcome.failure.message
    assert outcome.applied == f"main@sha1:{good}"
    assert (follower.root / "motd").read_text() == "hello\n"


def test_a_revision_whose_files_git_lfs_keeps_elsewhere_is_refused_and_the_one_before_stays(follower):
    good = follower.push("COPY files/motd $D/motd", **{"files/motd": "hello\n"})
    follower.cycle()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"
    follower.push("COPY files/motd $D/motd", **{"files/motd": pointer})
    outcome = follower.cycle()
    assert outcome.failure.code == "RevisionRejected"
    assert "files/motd: is a Git LFS pointer" in outcome.failure.message
    assert outcome.applied == f"main@sha1:{good}"
    assert (follower.root / "motd").read_text() == "hello\n"


def test_a_rewritten_branch_is_refused_on_the_root_side_too(follower):
    follower.push("true")
    follower.cycle()
    old = follower.commit
    follower.push("true", a="1")
    follower.cycle()
    outcome = follower.apply(old)
    assert outcome.failure.code == "NonFastForward"


def test_a_node_in_use_is_only_observed_until_it_is_adopted(follower, monkeypatch):
    follower.settings["first_start"] = "auto"
    monkeypatch.setattr(node, "uptime", lambda: 1e6)
    follower.push("COPY files/motd $D/motd\ntouch $D/ran", **{"files/motd": "hello\n"})
    observed = follower.cycle()
    assert observed.mode is Mode.OBSERVING
    assert list(follower.root.iterdir()) == []
    assert not follower.site.config().source.checkout.exists()
    adopted = follower.cycle(adopt=True)
    assert adopted.evaluation.counts == {Change.CREATED: 1, Change.SKIPPED: 1}
    assert [p.name for p in follower.root.iterdir()] == ["motd"]
    assert follower.cycle(force=False).evaluation is None


@pytest.mark.parametrize("away", [False, True], ids=["server up", "server away"])
def test_after_a_damage_to_the_ledger_a_node_in_use_is_adopted_by_itself(follower, monkeypatch, away):
    follower.settings["first_start"] = "auto"
    monkeypatch.setattr(node, "uptime", lambda: 60.0)
    body = "COPY files/motd $D/motd\necho line >>$D/hosts\nsh -c 'echo ran >>$0' $D/ran.log"
    commit = follower.push(body, **{"files/motd": "hello\n"})
    follower.cycle()
    monkeypatch.setattr(node, "uptime", lambda: 1e6)
    (follower.site.config().paths.state / "ledger.db").write_bytes(b"nonsense" * 1000)
    (follower.root / "motd").write_text("drift\n")
    outcome = follower.apply("") if away else follower.cycle()
    assert (outcome.failure, outcome.applied, outcome.ready) == (None, f"main@sha1:{commit}", True)
    assert (outcome.evaluation.scope, outcome.evaluation.trigger) == (Scope.ADOPT, Trigger.LEDGER_DAMAGED)
    assert any(isinstance(event, Notice) and "the ledger is damaged" in event.text for event in follower.events)
    assert (follower.root / "motd").read_text() == "hello\n"
    assert (follower.root / "hosts").read_text() == "line\n"
    assert (follower.root / "ran.log").read_text() == "ran\n"
    assert follower.cycle().evaluation is None
    follower.push(body, **{"files/motd": "news\n"})
    assert follower.cycle().evaluation.scope is Scope.FULL
    assert (follower.root / "ran.log").read_text() == "ran\nran\n"


def test_after_a_damage_to_the_ledger_an_older_branch_is_still_refused(follower):
    old = follower.push("true")
    follower.cycle()
    newer = follower.push("COPY files/motd $D/motd", **{"files/motd": "hello\n"})
    follower.cycle()
    (follower.site.config().paths.state / "ledger.db").write_bytes(b"nonsense" * 1000)
    (follower.root / "motd").unlink()
    outcome = follower.apply(old)
    assert outcome.failure.code == "NonFastForward"
    assert outcome.applied == f"main@sha1:{newer}"
    assert (follower.root / "motd").read_text() == "hello\n"


def test_a_ledger_of_a_later_version_stops_everything_and_says_so(follower):
    follower.push("COPY files/motd $D/motd", **{"files/motd": "hello\n"})
    follower.cycle()
    ledger = sqlite3.connect(follower.site.config().paths.state / "ledger.db")
    ledger.execute("PRAGMA user_version = 99")
    ledger.close()
    (follower.root / "motd").unlink()
    failure = follower.cycle().failure
    assert (failure.code, failure.transient) == ("LedgerUnavailable", False)
    assert "later version of nodeagent" in failure.message
    assert not (follower.root / "motd").exists()


def test_what_an_abort_left_undone_is_named(follower):
    follower.push("touch $D/ran\nset -e\nsh -c 'exit 3'\ntouch $D/never")
    outcome = follower.cycle()
    assert [step.partition(" ")[2] for step in outcome.failed_steps] == ["sh -c 'exit 3'"]
    assert [step.partition(" ")[2] for step in outcome.pending] == [
        "touch $D/never: not reached; due: it has not run yet"
    ]


def test_a_boot_makes_every_step_due(follower, monkeypatch):
    follower.push("sh -c 'echo ran >>$0' $D/ran.log")
    follower.cycle()
    monkeypatch.setattr(node, "boot_id", lambda: "another")
    outcome = follower.cycle()
    assert outcome.evaluation.trigger is Trigger.BOOT
    assert (follower.root / "ran.log").read_text() == "ran\nran\n"
    assert follower.cycle().evaluation is None


def test_a_step_that_changes_the_checkout_is_no_new_tree(follower):
    follower.push("chmod +x postscripts/*\npostscripts/p $D", **{"postscripts/p": "echo ran >>$1/ran\n"})
    first = follower.cycle()
    assert first.evaluation.counts[Change.EXECUTED] == 2
    assert follower.cycle().evaluation is None


def test_arguments_and_environment_come_from_the_configuration(follower):
    file = follower.site.directory / "environment"
    file.write_text("# of xCAT\nMASTER=mgmt\nNODE='n 1'\n")
    follower.settings |= {"args": ["compute", "${hostname}"], "environment_file": str(file)}
    follower.push('echo "$1 $2 $MASTER $NODE $HOME $(umask)" >$D/seen')
    follower.cycle()
    assert (follower.root / "seen").read_text() == f"compute {node.hostname()} mgmt n 1 /root 0022\n"


def test_a_bad_environment_file_is_named(follower):
    file = follower.site.directory / "environment"
    file.write_text("not a variable\n")
    follower.settings["environment_file"] = str(file)
    follower.push("true")
    outcome = follower.cycle()
    assert outcome.failure.code == "InvalidConfiguration"
    assert f"{file}:1" in outcome.failure.message


def test_a_tree_without_post_sh_is_named_and_the_next_one_applied(follower):
    follower.site.repository.commit({"README.md": "x"})
    assert follower.cycle().failure.code == "PostScriptMissing"
    follower.push("touch $D/ran")
    assert follower.cycle().failure is None
    assert (follower.root / "ran").exists()


@pytest.mark.parametrize("change", ["annotation", "no post.sh"])
def test_a_tree_that_cannot_be_evaluated_touches_nothing_and_the_one_before_is_enforced(follower, change):
    follower.push("COPY files/motd $D/motd", **{"files/motd": "good\n"})
    applied = follower.cycle().applied
    if change == "annotation":
        follower.push("COPY files/motd $D/motd # nodeagent: moed=0400", **{"files/motd": "bad\n"})
    else:
        follower.site.repository.commit({"files/motd": "bad\n", "post.sh": None})
    (follower.root / "motd").write_text("drifted\n")
    refused = follower.cycle()
    assert refused.failure.code == ("AnnotationInvalid" if change == "annotation" else "PostScriptMissing")
    assert not refused.failure.transient
    assert refused.applied == applied
    assert (follower.root / "motd").read_text() == "good\n"
    assert not follower.quiet()
    follower.push("COPY files/motd $D/motd", **{"files/motd": "mended\n"})
    assert follower.cycle().failure is None
    assert (follower.root / "motd").read_text() == "mended\n"


@pytest.fixture
def job(follower):
    """A file that stands for somebody's job."""
    running = follower.site.directory / "job"
    ask = f"if [ -e {running} ]; then echo job 17 runs; exit 1; fi"
    follower.settings["jobs"] = {"probe": "command", "command": ["/bin/sh", "-c", ask]}
    running.touch()
    return running


def test_what_a_job_holds_back_is_pending_and_runs_when_the_node_is_idle(follower, job):
    follower.push("COPY files/motd $D/motd\ntouch $D/ran", **{"files/motd": "x"})
    first = follower.cycle()
    assert (follower.root / "motd").exists()
    (pending,) = first.pending
    assert pending.endswith("touch $D/ran: due (it has not run yet), but job 17 runs")
    assert not follower.quiet()
    still = follower.cycle()
    assert (still.evaluation, still.pending) == (None, first.pending)
    job.unlink()
    idle = follower.cycle()
    assert (idle.evaluation.scope, idle.evaluation.trigger) == (Scope.REPAIR, Trigger.IDLE)
    assert (follower.root / "ran").exists()
    assert idle.pending == ()
    assert follower.cycle().evaluation is None
    assert follower.quiet()


def test_by_hand_a_job_can_be_overridden(follower, job):
    follower.push("touch $D/ran")
    assert follower.cycle(requested=True).evaluation.counts == {"deferred": 1}
    assert follower.apply(requested=True, anytime=True).evaluation.counts == {"executed": 1}


def test_a_failed_step_is_tried_again_in_the_following_cycles_while_it_may_be(follower):
    follower.push("sh -c 'echo try >>$0; exit 3' $D/ran.log # nodeagent: retry=1")
    assert follower.cycle().failed_steps
    assert not follower.quiet()
    assert follower.cycle().evaluation.trigger is Trigger.RETRY
    assert follower.cycle().evaluation is None
    assert follower.quiet()
    assert (follower.root / "ran.log").read_text() == "try\ntry\n"


def test_the_decrypted_key_lies_on_tmpfs_for_root_alone(follower):
    follower.push("true")
    follower.cycle()
    runtime = follower.site.config().paths.runtime
    secrets = [p for p in runtime.rglob("*") if p.is_file() and b"PRIVATE KEY" in p.read_bytes()]
    assert [p.stat().st_mode & 0o777 for p in secrets] == [0o400]
    everything = [p for p in follower.site.directory.rglob("*") if p.is_file()]
    assert not [p for p in everything if b"PRIVATE KEY" in p.read_bytes()]


def test_an_outcome_survives_as_json(follower):
    follower.push("touch $D/ran")
    outcome = follower.cycle()
    assert json.dumps(outcome.evaluation.counts)


@pytest.mark.parametrize(
    "loss", [lambda ledger: ledger.write_bytes(b"nonsense" * 1000), lambda ledger: ledger.unlink()]
)
def test_after_the_loss_of_the_ledger_the_checkout_still_knows_who_made_the_commit(follower, capsys, loss):
    follower.push("COPY files/motd $D/motd", **{"files/motd": "hello\n"})
    follower.cycle()
    state = follower.site.config().paths.state
    loss(state / "ledger.db")
    follower.cycle()
    assert main.call(["why", "--state", str(state), str(follower.root / "motd")]) == 0
    assert "commit    Admin <admin@cluster.example>, 20" in capsys.readouterr().out


def test_why_and_history_name_the_commit_and_its_author(follower, tmp_path, capsys):
    commit = follower.push("COPY files/motd $D/motd", **{"files/motd": "hello\n"})
    follower.cycle()
    state = str(follower.site.config().paths.state)
    assert main.call(["why", "--state", state, str(follower.root / "motd")]) == 0
    said = capsys.readouterr().out
    assert f"revision  main@sha1:{commit[:12]}\n" in said
    assert "commit    Admin <admin@cluster.example>, 20" in said
    assert said.split("commit ")[1].splitlines()[0].endswith(": Change the nodes")
    assert main.call(["history", "--json", "--state", state]) == 0
    (evaluation,) = json.loads(capsys.readouterr().out)["evaluations"]
    assert evaluation["revision"] == f"main@sha1:{commit}"
    assert evaluation["commit"]["subject"] == "Change the nodes"
    assert evaluation["commit"]["authored"] > 1_600_000_000


def test_drift_that_is_only_told_stays_until_a_full_evaluation(follower):
    follower.settings["drift"] = {"/": "repair", str(follower.root / "told"): "report"}
    body = "COPY files/motd $D/told/a\nCOPY files/motd $D/told/b\nCOPY files/motd $D/c"
    follower.push(body, **{"files/motd": "hello\n"})
    follower.cycle()
    (follower.root / "told/a").write_text("mine\n")
    (follower.root / "told/b").unlink()
    outcome = follower.cycle()
    assert (outcome.evaluation, outcome.drifted) == (None, 2)
    assert [line.split(" ")[:2] for line in outcome.remarks] == [
        ["drifted:", f"{follower.root}/told/a"],
        ["drifted:", f"{follower.root}/told/b"],
    ]
    (follower.root / "c").unlink()
    assert follower.cycle().evaluation.trigger is Trigger.DRIFT
    assert (follower.root / "c").exists()
    assert (follower.root / "told/a").read_text() == "mine\n"
    assert not (follower.root / "told/b").exists()
    assert follower.cycle().drifted == 2
    follower.apply(force=True)
    assert (follower.root / "told/a").read_text() == (follower.root / "told/b").read_text() == "hello\n"
    assert follower.cycle().remarks == ()
    assert follower.quiet()


def test_drift_that_is_only_told_is_told_once_and_lets_the_node_be_quiet(follower):
    follower.settings["drift"] = "report"
    follower.push("COPY files/motd $D/motd", **{"files/motd": "hello\n"})
    follower.cycle()
    (follower.root / "motd").write_text("mine\n")
    assert not follower.quiet()
    told = []
    for _ in range(2):
        follower.cycle()
        told += [e.text for e in follower.events if isinstance(e, Notice) and "drift = report" in e.text]
    assert len(told) == 1
    assert follower.quiet()
    (follower.root / "motd").write_text("again\n")
    assert not follower.quiet()


def test_a_file_that_drifts_again_and_again_is_named_and_repaired_more_rarely(follower):
    follower.push("COPY files/motd $D/motd", **{"files/motd": "hello\n"})
    follower.cycle()
    path = follower.root / "motd"
    for _ in range(3):
        path.write_text("theirs\n")
        assert follower.cycle().evaluation.trigger is Trigger.DRIFT
    assert any("somebody else writes there" in e.text for e in follower.events if isinstance(e, Notice))
    path.write_text("theirs\n")
    outcome = follower.cycle()
    assert outcome.evaluation is None
    assert outcome.remarks[0].startswith(f"contended: {path} was repaired 3 times: not again before ")
    assert not follower.quiet()  # its time will come
    with database.opened(follower.site.config().paths.state, wait=False, warn=print) as connection:
        connection.execute("UPDATE repair SET last = last - 700")
    assert follower.cycle().evaluation.trigger is Trigger.DRIFT
    assert path.read_text() == "hello\n"
    path.write_text("theirs\n")
    assert follower.cycle().evaluation is None
    assert follower.apply(requested=True).evaluation.trigger is Trigger.REQUEST  # who asks does not wait
    assert path.read_text() == "hello\n"


def test_who_adds_users_or_lines_beside_ours_is_not_in_strife_with_nodeagent(follower):
    for name in ("passwd", "hosts"):
        (follower.root / name).write_text("theirs:x:0:0\n")
    follower.push(f"{FUNCTION}MERGE files/passwd $D/passwd\necho ours >>$D/hosts", **{"files/passwd": "ann:x:1:1:::\n"})
    follower.cycle()
    for number in range(5):
        for name in ("passwd", "hosts"):
            with (follower.root / name).open("a") as file:
                file.write(f"user{number}:x:{number}:{number}\n")
        outcome = follower.cycle()
        assert (outcome.evaluation.trigger, outcome.evaluation.changed) == (Trigger.DRIFT, False)
        assert outcome.remarks == ()
        assert not [e for e in follower.events if isinstance(e, Notice)]
    for _ in range(3):
        (follower.root / "hosts").write_text("theirs:x:0:0\n")
        outcome = follower.cycle()
    assert outcome.remarks[0].startswith(f"contended: {follower.root}/hosts was repaired 3 times: ")


def test_after_undo_the_daemon_touches_nothing_until_apply(follower, tmp_path, capsys):
    follower.push("COPY files/motd $D/motd\nsh -c 'echo ran >>$0' $D/ran.log", **{"files/motd": "hello\n"})
    follower.cycle()
    config = tmp_path / "nodeagent.toml"
    paths = follower.site.config().paths
    config.write_text(
        f'[source]\nurl = "{follower.site.url}"\n[paths]\nstate = "{paths.state}"\nruntime = "{paths.runtime}"\n'
    )
    assert main.call(["undo", "--yes", "--config", str(config)]) == 0
    assert not (follower.root / "motd").exists()
    follower.push("COPY files/motd $D/motd\nsh -c 'echo ran >>$0' $D/ran.log", **{"files/motd": "news\n"})
    for _ in range(2):
        outcome = follower.cycle()
        assert (outcome.mode, outcome.evaluation) == (Mode.OBSERVING, None)
    assert not (follower.root / "motd").exists()
    outcome = follower.apply(requested=True)
    assert (outcome.mode, outcome.evaluation.scope) == (Mode.APPLYING, Scope.FULL)
    assert (follower.root / "motd").read_text() == "news\n"
    assert (follower.root / "ran.log").read_text() == "ran\nran\n"
    assert follower.cycle().evaluation is None


def test_an_undone_path_stays_alone_through_new_commits(follower, tmp_path, capsys):
    body = "COPY files/motd $D/motd\nCOPY files/issue $D/issue"
    follower.push(body, **{"files/motd": "hello\n", "files/issue": "a\n"})
    follower.cycle()
    config = tmp_path / "nodeagent.toml"
    paths = follower.site.config().paths
    config.write_text(
        f'[source]\nurl = "{follower.site.url}"\n[paths]\nstate = "{paths.state}"\nruntime = "{paths.runtime}"\n'
    )
    assert main.call(["undo", "--config", str(config), str(follower.root / "motd")]) == 0
    follower.push(body, **{"files/motd": "news\n", "files/issue": "b\n"})
    follower.cycle()
    assert not (follower.root / "motd").exists()
    assert (follower.root / "issue").read_text() == "b\n"
    assert follower.cycle().evaluation is None
    assert follower.quiet()
    assert main.call(["redo", "--config", str(config), str(follower.root / "motd")]) == 0
    assert follower.cycle().evaluation.scope is Scope.REPAIR
    assert (follower.root / "motd").read_text() == "news\n"
