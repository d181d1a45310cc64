"""``kill -9`` at any moment of an apply: the next one finishes the work, and repeats none that can be told apart."""

import contextlib
import itertools
import os
import signal
import threading
import time

import pytest

from nodeagent import node, reconcile
from nodeagent.apply import process
from nodeagent.evaluation import Settings
from nodeagent.model.evaluation import Scope
from nodeagent.situation import Wishes

RUNS = 12

PROGRAM = """\
#!/bin/sh
RUN() { logger -t t "Running $*..."; "$@"; code=$?; logger -t t "$* exited with code $code"; }
COPY() { mkdir -p "$(dirname "$2")"; rsync -a "$1" "$2"; }
PATH=$PWD/postscripts:$PATH
COPY files/tree/ $D/etc/tree/
COPY files/motd $D/etc/motd
cat files/hosts >>$D/etc/hosts
echo one >>$D/etc/hosts
echo one >>$D/etc/hosts
cat <<E >$D/etc/generated
text
E
RUN step a
step b
for i in 1 2 3; do echo 10.0.0.$i >>$D/etc/hosts; RUN step c$i; done
(cd files && RUN step d)
{ echo x; uname; } >$D/etc/group
step e
step f
"""
STEPS = ["a", "b", "c1", "c2", "c3", "d", "e", "f"]


class Reporter:
    def report(self, event):
        pass


class Crashing:
    def __init__(self, top):
        self.repository, self.root, self.top = top / "repo", top / "root", top
        for directory in (self.repository / "files/tree", self.repository / "postscripts", self.root):
            directory.mkdir(parents=True)
        for n in range(10):
            (self.repository / "files/tree" / f"f{n}").write_text(f"{n}\n" * 1000)
        (self.repository / "files/motd").write_text("hello\n")
        (self.repository / "files/hosts").write_text("127.0.0.1 localhost\n")
        self.program(PROGRAM)
        step = self.repository / "postscripts/step"
        step.write_text("#!/bin/sh\necho $1 >>$D/steps\n")
        step.chmod(0o755)

    def program(self, text):
        (self.repository / "post.sh").write_text(text)
        (self.repository / "post.sh").chmod(0o755)

    def apply(self, **wishes):
        settings = Settings(
            args=(),
            environment=node.inherited_environment() | {"D": str(self.root)},
            step_timeout=20,
            evaluation_timeout=25,
            state=self.top / "state",
            runtime=self.top / "run",
        )
        wanted = Wishes(**({"requested": True} | wishes))
        return reconcile.apply_directory(self.repository, settings, wanted, threading.Event(), Reporter())

    def killed(self, after: float, **wishes) -> None:
        """An agent in a process group of its own, as the daemon's worker is, which is ended in the middle."""
        began = process.ticks()
        child = os.fork()
        if not child:
            os.setpgid(0, 0)
            try:
                self.apply(**wishes)
            finally:
                os._exit(0)
        time.sleep(after)  # the moment is what is tested
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.killpg(child, signal.SIGKILL)
        while orphans := process.descendants(since=began, spare=0):  # other tests have children too
            for orphan in orphans:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(orphan, 0)
        process.reap_orphans(spare=0)

    def steps(self):
        log = self.root / "steps"
        return log.read_text().split() if log.exists() else []

    def tree(self):
        return {p.relative_to(self.root): p.read_bytes() for p in (self.root / "etc").rglob("*") if p.is_file()}

    def left_over(self):
        names = {p.name for p in self.repository.iterdir()} - {"files", "postscripts", "post.sh"}
        names |= {p.name for p in (self.top / "run").iterdir()}
        return names | {p.name for p in self.root.rglob(".*")}


@pytest.fixture(scope="module", autouse=True)
def orphans():
    """What a killed agent leaves is waited for here."""
    process.adopt_orphans(True)
    yield
    process.adopt_orphans(False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """How an apply that nobody disturbs ends, and how long it takes."""
    site = Crashing(tmp_path_factory.mktemp("whole"))
    began = time.monotonic()
    done = site.apply()
    assert done.finished
    assert site.steps() == STEPS
    return site.tree(), time.monotonic() - began


@pytest.mark.parametrize("run", range(RUNS))
def test_what_a_killed_apply_began_the_next_one_finishes(run, whole, tmp_path):
    expected, duration = whole
    site = Crashing(tmp_path)
    text = (site.repository / "post.sh").read_bytes()
    site.killed(duration * run / RUNS)
    before = site.steps()
    done = site.apply()
    assert done.finished
    assert not done.failed
    assert site.tree() == expected
    assert sorted(set(site.steps())) == STEPS
    # Only the one that was under way may have been repeated.
    assert site.steps() in ([*before, *STEPS[len(before) :]], [*before, *STEPS[max(len(before) - 1, 0) :]])
    assert site.left_over() == set()
    assert (site.repository / "post.sh").read_bytes() == text
    assert site.apply().changed is False


@pytest.mark.parametrize("run", range(3))
def test_a_kill_in_a_repair_makes_no_step_due(run, whole, tmp_path):
    expected, duration = whole
    site = Crashing(tmp_path)
    site.apply()
    (site.root / "etc/motd").write_text("drift\n")
    site.killed(duration * run / 6)
    assert site.apply().scope is Scope.REPAIR
    assert site.steps() == STEPS
    assert site.tree() == expected


@pytest.mark.parametrize("moment", ["staged", "linked", "replaced"])
def test_a_kill_while_post_sh_is_replaced_is_no_new_tree(moment, tmp_path):
    site = Crashing(tmp_path)
    site.apply()
    entry = site.repository / "post.sh"
    text = entry.read_bytes()
    staged, backup = (site.repository / f".post.sh.nodeagent-{end}" for end in ("instrumented", "original"))
    staged.write_text("instrumented")
    for name, action in {"linked": lambda: backup.hardlink_to(entry), "replaced": lambda: staged.rename(entry)}.items():
        if moment in {name, "replaced"}:
            action()
    assert site.apply().scope is Scope.REPAIR
    assert entry.read_bytes() == text
    assert site.left_over() == set()
    assert site.steps() == STEPS


def test_an_adoption_that_was_cut_short_goes_on_as_one(whole, tmp_path):
    _, duration = whole
    for run in itertools.count(1):
        site = Crashing(tmp_path / str(run))
        site.killed(duration * run / 20, adopt=True)
        if (site.root / "etc/motd").exists():
            break
    done = site.apply()
    assert site.steps() == []
    assert done.finished
