"""All verbs where the kernel really refuses: each says so, the rest is done, and once it takes it all is well.

What a COPY of many files does there is in test_copy_failures.py; a filesystem of the agent's own, in tests/crash.
"""

import errno
import json
import os
import shutil
import subprocess  # noqa: TID251 - mounts are made by mount(8), immutable files by chattr(1)
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from nodeagent.model.evaluation import Change
from testbed import documents

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and immutable files are made by root only")

FUNCTION = documents.commands("docs/spec.md", "merge").partition("\n}\n")[0] + "\n}\n"
OLD = "old:x:1:1:::\n"
NEW = "".join(f"new{number}:x:{number}:1:::\n" for number in range(500))  # more than what is left of a page
NAMES = ("appended", "copied", "merged", "written")
BODY = f"""{FUNCTION}
COPY files/new $D/m/copied
cat files/new >>$D/m/appended
cat files/new >$D/m/written
MERGE files/new $D/m/merged
COPY files/motd $D/after"""
WHOLE = {"appended": OLD + NEW, "copied": NEW, "merged": OLD + NEW, "written": NEW}


def run(*command) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


@contextmanager
def full(place: Path):
    with open(place / ".ballast", "wb", buffering=0) as ballast:
        for size in (4096, 1):
            with suppress(OSError):
                while ballast.write(bytes(size)) == size:
                    pass
    yield
    (place / ".ballast").unlink()


@contextmanager
def read_only(place: Path):
    run("mount", "-o", "remount,ro", place)
    yield
    run("mount", "-o", "remount,rw", place)


@contextmanager
def immutable(place: Path):
    run("chattr", "+i", *(place / name for name in NAMES))
    yield
    run("chattr", "-i", *(place / name for name in NAMES))


@contextmanager
def immutable_directory(place: Path):
    run("chattr", "+i", place)
    yield
    run("chattr", "-i", place)


@contextmanager
def mount_points(place: Path):
    """Each file is a read-only mount of its own."""
    for name in NAMES:
        run("mount", "--bind", place / name, place / name)
        run("mount", "-o", "remount,bind,ro", place / name)
    yield
    for name in NAMES:
        run("umount", place / name)


@contextmanager
def quota(place: Path):
    """No further inode is to be had: nothing can be staged, but a file that stands there grows."""
    run("mount", "-o", f"remount,nr_inodes={len(os.listdir(place)) + 1}", place)
    yield
    run("mount", "-o", "remount,nr_inodes=1000", place)


@contextmanager
def filesystem(place: Path):
    run("mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=1000", "tmpfs", place)
    try:
        yield
    finally:
        run("umount", "--lazy", place)


@pytest.mark.parametrize(
    ("cause", "error", "taken"),
    [
        (full, errno.ENOSPC, ()),
        (read_only, errno.EROFS, ()),
        (immutable, errno.EPERM, ()),
        (immutable_directory, errno.EPERM, ("appended",)),  # which needs no new file
        (mount_points, errno.EROFS, ()),
        (quota, errno.ENOSPC, ("appended",)),
    ],
)
def test_each_refusal_is_told_by_path_and_reason_leaves_the_old_and_is_made_good(local, cause, error, taken):
    place = local.root / "m"
    place.mkdir()
    (local.repository / "files/new").write_text(NEW)
    with filesystem(place):
        for name in NAMES:
            (place / name).write_text(OLD)
        with cause(place):
            done = local.apply(BODY)
            failed = {Path(step.path).name: step.reason for step in done.steps if step.change is Change.FAILED}
            standing = {name: (place / name).read_text() for name in NAMES}
        assert failed.keys() == set(NAMES) - set(taken)
        for name, reason in failed.items():
            assert os.strerror(error) in reason or os.strerror(errno.EBUSY) in reason, (name, reason)
        assert standing == {name: WHOLE[name] if name in taken else OLD for name in NAMES}
        assert set(os.listdir(place)) - {".ballast", ".pwd.lock"} == set(NAMES)
        assert (local.root / "after").read_text() == "hello\n"  # the rest is done
        assert not local.apply(BODY).failed
        assert {name: (place / name).read_text() for name in NAMES} == WHOLE
        assert set(os.listdir(place)) == {*NAMES, ".pwd.lock"}


def test_a_file_with_two_names_that_does_not_fit_is_not_half_written(local):
    place = local.root / "m"
    place.mkdir()
    (local.repository / "files/new").write_text(NEW)
    with filesystem(place):
        (place / "written").write_text(OLD)
        os.link(place / "written", place / "other")
        with full(place):
            done = local.apply("cat files/new >$D/m/written")
        assert [step.change for step in done.steps] == [Change.FAILED]
        assert "No space left on device" in done.steps[0].reason
        assert (place / "other").read_text() == OLD
        assert not local.apply("cat files/new >$D/m/written").failed
        assert (place / "other").read_text() == NEW


def test_a_program_that_runs_is_replaced_and_goes_on(local):
    place = local.root / "program"
    shutil.copy("/bin/sleep", place)
    shutil.copy("/bin/true", local.repository / "files/program")
    running = subprocess.Popen([place, "60"])
    try:
        done = local.apply(
            "COPY files/program $D/program; cat files/program >$D/written; cat files/program >$D/program"
        )
        assert not done.failed
        assert running.poll() is None
        assert place.read_bytes() == (local.repository / "files/program").read_bytes()
    finally:
        running.kill()
        running.wait()


def test_text_for_a_program_that_runs_is_refused_as_the_shell_refuses_it(local):
    place = local.root / "program"
    shutil.copy("/bin/sleep", place)
    before = place.read_bytes()
    running = subprocess.Popen([place, "60"])
    try:
        done = local.apply("echo '# more' >>$D/program\nCOPY files/motd $D/after")
    finally:
        running.kill()
        running.wait()
    assert [step.change for step in done.steps] == [Change.FAILED, Change.CREATED]
    assert "Text file busy" in done.steps[0].reason
    assert place.read_bytes() == before


def test_a_directory_that_root_may_not_enter_is_told_with_what_lies_below(local):
    """Without the capability that lets root pass: as on NFS, where root is nobody."""
    (local.root / "theirs").mkdir(mode=0o700)
    os.chown(local.root / "theirs", 4321, 4321)
    (local.repository / "files/new").write_text(NEW)
    body = "COPY files/new $D/theirs/copied\necho x >>$D/theirs/appended\nCOPY files/motd $D/after"
    (local.repository / "post.sh").write_text(
        f'#!/bin/sh\nCOPY() {{ mkdir -p "$(dirname "$2")"; rsync -a "$1" "$2"; }}\nD={local.root}\n{body}\n'
    )
    (local.repository / "post.sh").chmod(0o755)
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    command = [
        *drop,
        sys.executable,
        "-m",
        "nodeagent",
        "apply",
        f"--repo={local.repository}",
        f"--state={local.state}",
    ]
    done = subprocess.run([*command, "--json"], cwd=documents.PROJECT, capture_output=True, text=True, check=False)
    steps = {Path(step["path"]).name: step for step in json.loads(done.stdout)["steps"]}
    assert (steps["copied"]["change"], steps["appended"]["change"], steps["after"]["change"]) == (
        Change.FAILED,
        Change.FAILED,
        Change.CREATED,
    )
    assert "Permission denied" in steps["copied"]["reason"]
    assert "Permission denied" in steps["appended"]["reason"]


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_link_that_another_user_has_put_in_the_way_leads_no_verb_anywhere(local, mode):
    """In place of a file, and of a directory on the way to one."""
    (local.root / "secret").mkdir()
    for name in ("shadow", *NAMES):
        (local.root / "secret" / name).write_text(OLD)
    public = local.root / "m"
    public.mkdir()
    public.chmod(mode)
    (local.repository / "files/new").write_text(NEW)
    for name in ("appended", "written"):
        (public / name).symlink_to(local.root / "secret/shadow")
    (public / "way").symlink_to(local.root / "secret")
    for link in public.iterdir():
        os.chown(link, 4321, 4321, follow_symlinks=False)
    below = BODY.replace("$D/m/", "$D/m/way/").replace("COPY files/motd $D/after", "")
    direct = "cat files/new >>$D/m/appended\ncat files/new >$D/m/written\nCOPY files/motd $D/after"
    done = local.apply(f"{below}\n{direct}")
    assert [step.change for step in done.steps] == [Change.FAILED] * 6 + [Change.CREATED]
    assert all("not followed" in step.reason for step in done.steps[:6]), [step.reason for step in done.steps]
    assert {path.read_text() for path in (local.root / "secret").iterdir()} == {OLD}
    assert {path.name for path in (local.root / "secret").iterdir()} == {"shadow", *NAMES}


def test_a_loop_of_texts_of_which_some_do_not_fit_is_whole_when_there_is_room(local):
    place = local.root / "m"
    place.mkdir()
    (local.repository / "files/new").write_text(NEW)
    body = "for n in 1 2 3; do { echo $n; cat files/new; } >>$D/m/f; done"
    with filesystem(place):
        (place / "f").write_text(OLD)
        (place / ".room").write_bytes(bytes(12_000))
        with full(place):
            (place / ".room").unlink()  # for the first text, and a part of the second
            done = local.apply(body)
        assert [step.change for step in done.steps] == [Change.UPDATED, Change.FAILED, Change.FAILED]
        assert (place / "f").read_text() == f"{OLD}1\n{NEW}"
        assert not local.apply(body).failed
        assert (place / "f").read_text() == f"{OLD}1\n{NEW}2\n{NEW}3\n{NEW}"
        assert not local.apply(body).changed
