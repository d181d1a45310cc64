"""COPY where the kernel refuses: full, read-only and failing filesystems, immutable files, mount points, devices.

Each time: the error is told for that destination, the rest is done, and no temporary is left.
"""

import os
import shutil
import stat
import subprocess  # noqa: TID251 - mounts are made by mount(8), failures by strace(1)
import sys
from pathlib import Path

import pytest

from nodeagent.apply.atomic import temporary_name
from nodeagent.apply.copy import copy
from nodeagent.apply.rsync import parse
from nodeagent.model.evaluation import Change
from tests.unit.apply.memory import Memory

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and immutable files are made by root only")


def run(*command) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


@pytest.fixture
def mounted(tmp_path):
    """Mounts what it is told, and unmounts it."""
    made: list[Path] = []

    def mount(*arguments) -> Path:
        at = Path(arguments[-1])
        at.mkdir(exist_ok=True)
        run("mount", *arguments)
        made.append(at)
        return at

    yield mount
    for at in reversed(made):
        run("umount", "--lazy", at)


@pytest.fixture
def tree(tmp_path):
    source = tmp_path / "s"
    source.mkdir()
    for name in ("a", "b", "c"):
        (source / name).write_text(f"new {name}\n")
    return tmp_path.resolve()


_PROGRAM = """
import sys; from pathlib import Path; from tests.integration.test_copy_failures import Result
from nodeagent.apply import durable; durable.OTHERS = int(sys.argv[2])
result = Result(Path(sys.argv[1])); reasons = list(result.failed.items())
print(result.status, sorted(result.done), reasons)
"""


class Result:
    def __init__(self, top, to="d", flags=("-a",)):
        self.reports = []
        self.status = copy(
            ["s/"],
            to,
            cwd=str(top),
            umask=0o022,
            options=parse(flags),
            make_parent=False,
            destinations=Memory(),
            report=self.reports.append,
        )
        named = [(os.path.basename(report.path), report) for report in self.reports]
        self.failed = {name: report.reason for name, report in named if report.change is Change.FAILED}
        self.done = {name for name, report in named if report.change in (Change.CREATED, Change.UPDATED)}


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def test_a_file_that_does_not_fit_fails_alone(tree, mounted):
    full = mounted("-t", "tmpfs", "-o", "size=64k", "tmpfs", tree / "d")
    (full / "b").write_text("old b\n")
    (tree / "s/b").write_bytes(b"x" * 200_000)
    result = Result(tree)
    assert result.status == 23
    assert result.done == {"a", "c"}
    assert "No space left on device (28)" in result.failed["b"]
    assert (full / "b").read_text() == "old b\n"
    assert names(full) == ["a", "b", "c"]


def test_on_a_read_only_filesystem_each_file_fails_and_stays(tree, mounted):
    (tree / "real").mkdir()
    (tree / "real/a").write_text("old a\n")
    mounted("--bind", tree / "real", tree / "d")
    run("mount", "-o", "remount,bind,ro", tree / "d")
    result = Result(tree)
    assert result.status == 23
    assert set(result.failed) == {"a", "b", "c"}
    assert "Read-only file system (30)" in result.failed["a"]
    assert (tree / "real/a").read_text() == "old a\n"
    assert names(tree / "real") == ["a"]


def test_an_immutable_file_fails_alone(tree):
    (tree / "d").mkdir()
    (tree / "d/b").write_text("old b\n")
    try:
        run("chattr", "+i", tree / "d/b")
    except subprocess.CalledProcessError:
        pytest.skip("this filesystem has no immutable files")
    try:
        result = Result(tree)
    finally:
        run("chattr", "-i", tree / "d/b")
    assert result.status == 23
    assert result.done == {"a", "c"}
    assert "Operation not permitted (1)" in result.failed["b"]
    assert (tree / "d/b").read_text() == "old b\n"
    assert names(tree / "d") == ["a", "b", "c"]


def test_a_file_that_is_a_mount_point_fails_alone(tree, mounted):
    (tree / "d").mkdir()
    (tree / "other").write_text("bound\n")
    (tree / "d/b").write_text("below\n")
    run("mount", "--bind", tree / "other", tree / "d/b")
    try:
        result = Result(tree)
        assert (tree / "d/b").read_text() == "bound\n"
    finally:
        run("umount", "--lazy", tree / "d/b")
    assert result.status == 23
    assert result.done == {"a", "c"}
    assert "Device or resource busy (16)" in result.failed["b"]
    assert (tree / "d/b").read_text() == "below\n"
    assert names(tree / "d") == ["a", "b", "c"]


def test_a_mirror_does_not_empty_what_is_mounted_in_it(tree, mounted):
    (tree / "d").mkdir()
    (tree / "everybody").mkdir()
    (tree / "everybody/data").write_text("data\n")
    mounted("--bind", tree / "everybody", tree / "d/mounted")
    result = Result(tree, flags=("-a", "--delete"))
    assert result.status == 23
    assert "cannot delete mount point" in result.failed["mounted"]
    assert result.done == {"a", "b", "c"}
    assert (tree / "everybody/data").read_text() == "data\n"


def test_a_device_is_replaced_and_not_written_to(tree):
    (tree / "d").mkdir()
    os.mknod(tree / "d/b", stat.S_IFCHR | 0o666, os.makedev(1, 3))  # another /dev/null
    result = Result(tree)
    assert result.status == 0
    assert (tree / "d/b").read_text() == "new b\n"
    assert stat.S_ISREG(os.lstat(tree / "d/b").st_mode)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        ("fsync", "EIO", "Input/output error (5)"),
        ("write", "EIO", "Input/output error (5)"),
        ("rename,renameat,renameat2", "EIO", "Input/output error (5)"),
        ("fchmod", "EACCES", "Permission denied (13)"),
    ],
)
def test_a_file_at_which_the_disk_fails_keeps_its_old_content(tree, call, error, says):
    (tree / "d").mkdir()
    for name in ("a", "b", "c"):
        (tree / "d" / name).write_text(f"old {name}\n")
    # Most calls are made on the descriptor of the first file's temporary.
    watched = [tree / "d", *([] if call.startswith("rename") else [tree / "d" / temporary_name("a")])]
    expressions = (f"trace={call}", f"inject={call}:error={error}:when=1")
    done = _traced(tree, Path("/dev/null"), *expressions, watched=watched)
    assert done.stdout.startswith("23 ['b', 'c'] [('a', "), done.stdout + done.stderr
    assert says in done.stdout
    assert (tree / "d/a").read_text() == "old a\n"
    assert (tree / "d/b").read_text() == "new b\n"
    assert names(tree / "d") == ["a", "b", "c"]


@pytest.fixture
def many(tree):
    """More files than are waited for one by one, each over an old one of the same size."""
    (tree / "d").mkdir()
    for n in range(20):
        (tree / "s" / f"f{n:02}").write_text(f"new {n}\n" * 1000)
        (tree / "d" / f"f{n:02}").write_text(f"old {n}\n" * 1000)
    return tree


def test_what_is_replaced_makes_room_for_what_is_staged(many, mounted):
    for path in (many / "s").iterdir():
        path.write_bytes(b"x" * 16_000)
    full = mounted("-t", "tmpfs", "-o", "size=450k", "tmpfs", many / "full")
    for path in (many / "s").iterdir():
        (full / path.name).write_bytes(b"y" * 16_000)
    assert Result(many, to="full").status == 0
    assert {path.read_bytes() for path in full.iterdir()} == {b"x" * 16_000}


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_disk_is_waited_for_once_before_the_first_of_many_files_gets_its_name(many, tmp_path):
    log = tmp_path / "calls"
    done = _traced(many, log, "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2")
    assert done.stdout.startswith("0 "), done.stdout + done.stderr
    calls = [line.split()[1].partition("(")[0] for line in log.read_text().splitlines() if "SIG" not in line]
    assert calls[0] == "syncfs"
    assert set(calls[1:]) <= {"rename", "renameat", "renameat2"}
    assert len(calls) == 1 + 23


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_while_others_have_much_to_be_written_only_the_files_themselves_are_waited_for(many, tmp_path):
    log = tmp_path / "calls"
    trace = "trace=sync_file_range,fsync,fdatasync,syncfs,rename,renameat,renameat2"
    done = _traced(many, log, trace, others=-(2**60))
    assert done.stdout.startswith("0 "), done.stdout + done.stderr
    calls = [line.split()[1].partition("(")[0] for line in log.read_text().splitlines() if "SIG" not in line]
    assert calls[:46] == ["sync_file_range"] * 23 + ["fsync"] * 23
    assert len(calls) == 46 + 23


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_of_many_files_the_one_that_the_disk_does_not_take_fails_alone(many, tmp_path):
    filesystem, file = "inject=syncfs:error=EIO", "inject=fsync:error=EIO:when=3"
    done = _traced(many, tmp_path / "calls", "trace=syncfs,fsync", filesystem, file)
    assert done.stdout.startswith("23 "), done.stdout + done.stderr
    assert "[('c', " in done.stdout
    assert "Input/output error (5)" in done.stdout
    assert not (many / "d/c").exists()
    assert (many / "d/f00").read_text() == "new 0\n" * 1000
    assert len(names(many / "d")) == 22


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("moment", ["syncfs:signal=KILL", "rename,renameat:signal=KILL:when=7"])
def test_a_kill_amid_many_files_leaves_each_old_or_new_and_the_next_run_no_temporary(many, tmp_path, moment):
    calls = moment.partition(":")[0]
    killed = _traced(many, tmp_path / "calls", f"trace={calls}", f"inject={moment}", check=False)
    assert killed.returncode != 0
    for n in range(20):
        assert (many / "d" / f"f{n:02}").read_text() in {f"old {n}\n" * 1000, f"new {n}\n" * 1000}
    assert any(name.startswith(".") for name in names(many / "d"))
    assert Result(many).status == 0
    assert names(many / "d") == names(many / "s")
    assert all((many / "d" / name).read_bytes() == (many / "s" / name).read_bytes() for name in names(many / "s"))


def _traced(
    tree: Path, log: Path, *expressions: str, watched=(), check: bool = True, others: int = sys.maxsize
) -> "subprocess.CompletedProcess[str]":
    """COPY s/ to d/ in a process of its own, under strace; it prints status, what was done and what failed.

    ``others``: so many bytes of others are waited for; by default any number, whatever else this machine does.
    """
    options = [word for expression in expressions for word in ("-e", expression)]
    options += [word for path in watched for word in ("-P", str(path))]
    return subprocess.run(
        ["strace", "-f", "-qq", "-o", str(log), *options, sys.executable, "-c", _PROGRAM, str(tree), str(others)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=check,
    )


@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="needs mkfs.ext4 and a loop device")
@pytest.mark.parametrize("big", [1, 12], ids=["one by one", "together"])
def test_what_the_filesystem_took_and_the_disk_did_not_gets_no_name(tree, mounted, big):
    """A disk that cannot hold what it promises (a thin volume): not write(2) fails, but what is waited for later."""
    backing = mounted("-t", "tmpfs", "-o", "size=4m", "tmpfs", tree / "backing")
    image = backing / "disk"
    with image.open("wb") as file:
        file.truncate(64 * 2**20)
    run("mkfs.ext4", "-q", "-F", "-O", "^has_journal,^metadata_csum", "-E", "lazy_itable_init=1", image)
    try:
        disk = mounted("-o", "loop", image, tree / "d")
    except subprocess.CalledProcessError:
        pytest.skip("this machine has no loop device")
    for name in ("a", "b", "c"):
        (disk / name).write_text(f"old {name}\n")
    os.sync()
    for number in range(big):
        (tree / f"s/big{number}").write_bytes(os.urandom(8 * 2**20))
    result = Result(tree)
    assert result.status == 23
    assert all("No space left on device (28)" in reason for reason in result.failed.values()), result.failed
    assert "big0" in result.failed
    for name in ("a", "b", "c"):
        assert (disk / name).read_text() in {f"old {name}\n", f"new {name}\n"}
    whole = {path.name for path in (tree / "s").iterdir() if (disk / path.name).exists()}
    assert result.done <= whole
    assert {name for name in names(disk) if name.startswith(".")} == set()
