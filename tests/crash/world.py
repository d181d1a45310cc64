"""The node and the repository that the crash tests apply, in two revisions, and how the node looks after each.

Everything stands at fixed paths on a tmpfs of the test's own that lies over ``/run``, so that the two runs of one point
and the probe before them make the same system calls.
"""

import os
import stat
from pathlib import Path
from typing import Literal

from tests.crash.invariants import Blocks, Expectation, State

WORLD = Path("/run/world")
ROOT, REPOSITORY, LEDGER = WORLD / "root", WORLD / "repository", WORLD / "state"
RUNTIME = Path("/run/nodeagent")

STEPS = ("a", "s", "b", "fails", "c1", "c2", "c3", "d", "e")
"""The words that the steps of the second revision log, in their order."""

_FUNCTIONS = """\
#!/bin/sh
RUN() { logger -t t "Running $*..."; "$@"; code=$?; logger -t t "$* exited with code $code"; }
COPY() { mkdir -p "$(dirname "$2")"; rsync -a "$1" "$2"; }
MIRROR() { rsync -a --delete "$1" "$2"; }
PATH=$PWD/postscripts:$PATH
"""

_FIRST = f"""{_FUNCTIONS}
COPY files/tree/ $D/etc/tree/
MIRROR files/mirror/ $D/etc/mirror/
COPY files/motd $D/etc/motd
COPY files/edited $D/etc/edited
sed -i 's/@NODE@/node1/' $D/etc/edited
cat files/hosts >>$D/etc/hosts
echo one >>$D/etc/hosts
echo one >>$D/etc/hosts
echo 'options old' >>$D/etc/options
cat <<END >$D/etc/resolv.conf
search old
END
step old
"""

_SECOND = f"""{_FUNCTIONS}
COPY files/tree/ $D/etc/tree/
MIRROR files/mirror/ $D/etc/mirror/
COPY files/motd $D/etc/motd
COPY files/own $D/etc/own
COPY files/edited $D/etc/edited
sed -i 's/@NODE@/node1/' $D/etc/edited
RUN step a
cat files/hosts >>$D/etc/hosts
echo one >>$D/etc/hosts
echo one >>$D/etc/hosts
echo 'options new' >>$D/etc/options
echo 'made' >>$D/etc/made
cat <<END >$D/etc/resolv.conf
search new
END
. ./settings.sh
$SETTING b
step fails
for i in 1 2 3; do echo "10.0.0.$i n$i" >>$D/etc/hosts; RUN step c$i; done
(cd files && RUN step d)
{{ echo x; uname; }} >$D/etc/group
step e
"""

_STEP = """\
#!/bin/sh
echo begin $1 >>$D/steps
case $1 in fails) exit 3 ;; esac
echo end $1 >>$D/steps
"""

Entry = tuple[Literal["file", "program", "link"], str]

_LONG = "".join(f"line {n}\n" for n in range(2000))
_COMMON: dict[str, Entry] = {
    "postscripts/step": ("program", _STEP),
    "files/edited": ("file", "name @NODE@\n"),
    "files/tree/same": ("file", "same\n"),
    "files/tree/dangling": ("link", "nowhere"),
    "files/mirror/kept": ("file", "kept\n"),
}
_REVISIONS: tuple[dict[str, Entry], dict[str, Entry]] = (
    _COMMON
    | {
        "post.sh": ("program", _FIRST),
        "files/tree/changes": ("file", "old\n"),
        "files/tree/below/file": ("file", "old\n"),
        "files/tree/link": ("link", "same"),
        "files/mirror/gone": ("file", "gone\n"),
        "files/motd": ("file", "old motd\n"),
        "files/hosts": ("file", "10.1.0.1 old\n"),
    },
    _COMMON
    | {
        "post.sh": ("program", _SECOND),
        "settings.sh": ("file", "SETTING=step\nstep s\nCOPY files/motd $D/etc/issue\n"),
        "files/tree/changes": ("file", _LONG),
        "files/tree/below/file": ("program", "new\n"),
        "files/tree/below/deeper/file": ("file", "deeper\n"),
        "files/tree/link": ("link", "changes"),
        "files/motd": ("file", "new motd\n"),
        "files/own": ("file", "the site's\n"),
        "files/hosts": ("file", "10.1.0.1 new\n10.1.0.2 newer\n"),
    },
)
_BEFORE: dict[str, Entry] = {
    "etc/motd": ("file", "the image's\n"),
    "etc/own": ("file", "the image's own\n"),
    "etc/hosts": ("file", "127.0.0.1 localhost\n"),
    "etc/mirror/foreign": ("file", "foreign\n"),
    "etc/resolv.conf": ("link", "../real/resolv.conf"),
    "real/resolv.conf": ("file", "search image\n"),
}


def build() -> None:
    """The node as its image has it, and the repository at its first revision."""
    for directory in (ROOT, REPOSITORY):
        directory.mkdir(parents=True)
    _write(ROOT, _BEFORE)
    _write(REPOSITORY, _REVISIONS[0])


def advance() -> None:
    """The repository's second revision, and a log of steps that has only its own."""
    for name in _REVISIONS[0].keys() - _REVISIONS[1].keys():
        (REPOSITORY / name).unlink()
    _write(REPOSITORY, _REVISIONS[1])
    (ROOT / "steps").unlink()


def go_back() -> None:
    """The repository's first revision again: what only the second one had is in no statement any more."""
    for name in _REVISIONS[1].keys() - _REVISIONS[0].keys():
        (REPOSITORY / name).unlink()
    _write(REPOSITORY, _REVISIONS[0])


def environment() -> dict[str, str]:
    return {"D": str(ROOT), "PATH": os.environ["PATH"], "HOME": "/", "LANG": "C.UTF-8"}


def _write(top: Path, entries: dict[str, Entry]) -> None:
    for name, (kind, content) in entries.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if kind == "link":
            path.symlink_to(content)
        else:
            path.write_text(content)
            path.chmod(0o755 if kind == "program" else 0o644)


def _file(content: str, mode: int = 0o644) -> State:
    return State(kind=stat.S_IFREG, mode=mode, content=content.encode())


def _link(target: str) -> State:
    return State(kind=stat.S_IFLNK, mode=0o777, content=target.encode())


_HOSTS = ("10.1.0.1 old\n", "one\n", "one\n")
_NEW_HOSTS = ("10.1.0.1 new\n10.1.0.2 newer\n", "one\n", "one\n", *(f"10.0.0.{n} n{n}\n" for n in (1, 2, 3)))

EXPECTATION = Expectation(
    root=ROOT,
    repository=REPOSITORY,
    ledger=LEDGER / "ledger.db",
    state=LEDGER,
    runtime=RUNTIME,
    before={
        "etc/tree/same": _file("same\n"),
        "etc/tree/dangling": _link("nowhere"),
        "etc/tree/changes": _file("old\n"),
        "etc/tree/below/file": _file("old\n"),
        "etc/tree/link": _link("same"),
        "etc/mirror/kept": _file("kept\n"),
        "etc/mirror/gone": _file("gone\n"),
        "etc/motd": _file("old motd\n"),
        "etc/own": _file("the image's own\n"),
        "etc/edited": _file("name node1\n"),
        "etc/options": _file("options old\n"),
        "etc/resolv.conf": _link("../real/resolv.conf"),
        "real/resolv.conf": _file("search old\n"),
    },
    after={
        "etc/tree/same": _file("same\n"),
        "etc/tree/dangling": _link("nowhere"),
        "etc/tree/changes": _file(_LONG),
        "etc/tree/below/file": _file("new\n", 0o755),
        "etc/tree/below/deeper/file": _file("deeper\n"),
        "etc/tree/link": _link("changes"),
        "etc/mirror/kept": _file("kept\n"),
        "etc/motd": _file("new motd\n"),
        "etc/issue": _file("new motd\n"),
        "etc/own": _file("the site's\n"),
        "etc/edited": _file("name node1\n"),
        "etc/options": _file("options new\n"),
        "etc/made": _file("made\n"),
        "etc/resolv.conf": _link("../real/resolv.conf"),
        "real/resolv.conf": _file("search new\n"),
        "etc/group": _file("x\nLinux\n"),
    },
    between={"etc/edited": (_file("name @NODE@\n"),)},  # before the step that edits it
    appended={"etc/hosts": Blocks(base="127.0.0.1 localhost\n", before=_HOSTS, after=_NEW_HOSTS)},
    originals=("the image's\n", "the image's own\n", "search image\n", "127.0.0.1 localhost\n", "foreign\n"),
    program=_SECOND,
    steps=STEPS,
    failing=("fails",),
    in_loops={"step c$i": ("c1", "c2", "c3")},
    unrecorded=(),
    logs=("steps",),
)
