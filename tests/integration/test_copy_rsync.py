"""COPY against the real rsync: what both leave behind on random trees is the same.

``EXAMPLES=5000 pytest tests/integration/test_copy_rsync.py`` looks further, at random.
"""

import dataclasses
import importlib.util
import os
import shutil
import stat
import subprocess  # noqa: TID251 - rsync is what COPY is compared with
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeagent.apply.copy import copy
from nodeagent.apply.rsync import CopyOptions, parse
from nodeagent.model import Change, FileChange

pytestmark = [
    pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="owners can be given by root only"),
]


def _memory():
    name = "apply_memory"
    if name not in sys.modules:
        file = Path(__file__).parents[1] / "unit" / "apply" / "memory.py"
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name].Memory()


# --- trees ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    content: bytes
    mode: int
    owner: tuple[int, int]


@dataclass(frozen=True)
class Link:
    target: str
    owner: tuple[int, int]


@dataclass(frozen=True)
class Fifo:
    mode: int
    owner: tuple[int, int]


@dataclass(frozen=True)
class Folder:
    entries: dict[str, object]
    mode: int
    owner: tuple[int, int]


NAMES = ["a", "b", "c", "d e", ".gitkeep", "-n", "*", "new\nline", "h\udcff", "a:b"]

names = st.one_of(st.sampled_from(NAMES[:3]), st.sampled_from(NAMES))
owners = st.sampled_from([(0, 0), (0, 0), (1, 2), (4321, 4322)])
file_modes = st.sampled_from([0o644, 0o755, 0o600, 0o400, 0o4755, 0o664, 0o000])
folder_modes = st.sampled_from([0o755, 0o700, 0o2775, 0o1777, 0o500])
targets = st.sampled_from(["a", "b", "../none", "nowhere", "/nonexistent/x", "a/b", "h\udcff"])

files = st.builds(File, content=st.sampled_from([b"", b"1\n", b"2\n", b"long\n" * 9]), mode=file_modes, owner=owners)
links = st.builds(Link, target=targets, owner=owners)
fifos = st.builds(Fifo, mode=st.sampled_from([0o644, 0o600]), owner=owners)
leaves = st.one_of(files, files, files, links, fifos)


def folders(below):
    return st.builds(Folder, entries=st.dictionaries(names, below, max_size=4), mode=folder_modes, owner=owners)


nodes = st.recursive(leaves, folders, max_leaves=6)
trees = folders(nodes)


@st.composite
def variants(draw, node):
    """What an earlier run may have made of the same tree: some of it the same, some changed, some missing."""
    if not isinstance(node, Folder):
        return draw(st.one_of(st.just(node), st.just(dataclasses.replace(node, owner=(7, 8))), nodes))
    kept = {}
    for name, inner in node.entries.items():
        if draw(st.integers(0, 4)):
            kept[name] = draw(variants(inner))
    if draw(st.booleans()):
        kept.setdefault(draw(names), draw(nodes))
    return Folder(entries=kept, mode=draw(folder_modes), owner=draw(owners))


@st.composite
def cases(draw):
    source = draw(trees)
    existing = draw(st.one_of(trees, variants(source), variants(Folder({"s": source}, 0o755, (0, 0)))))
    return Case(
        source=source,
        second=draw(trees),
        # Root's own: a link in somebody else's directory is not followed, which rsync does (tests/unit/apply).
        existing=dataclasses.replace(existing, mode=draw(st.sampled_from([0o755, 0o700, 0o2755])), owner=(0, 0)),
        sources=draw(st.lists(operands, min_size=1, max_size=2)),
        destination=draw(places),
        flags=draw(st.sampled_from(FLAGS)),
        umask=draw(st.sampled_from([0o022, 0o077, 0o002])),
    )


def build(path: str, node, when: int) -> None:
    """Make the node; ``when`` is the time (s) of all it is made of."""
    match node:
        case File():
            with open(path, "wb") as stream:
                stream.write(node.content)
        case Link():
            os.symlink(node.target, path)
        case Fifo():
            os.mkfifo(path)
        case Folder():
            os.mkdir(path)
            for name, inner in node.entries.items():
                build(f"{path}/{name}", inner, when)
    os.chown(path, *node.owner, follow_symlinks=False)
    if not isinstance(node, Link):
        os.chmod(path, node.mode)
    os.utime(path, (when, when), follow_symlinks=False)


def snapshot(top: str) -> dict[str, tuple]:
    """Everything below, by path: kind, mode, uid, gid, content or target, and the times."""
    found: dict[str, tuple] = {}
    pending = [top]
    while pending:
        path = pending.pop()
        there = os.lstat(path)
        data: object = None
        if stat.S_ISREG(there.st_mode):
            with open(path, "rb") as stream:
                data = stream.read()
        elif stat.S_ISLNK(there.st_mode):
            data = os.readlink(path)
        elif stat.S_ISDIR(there.st_mode):
            pending.extend(f"{path}/{name}" for name in os.listdir(path))
        found[path[len(top) :]] = (
            stat.S_IFMT(there.st_mode),
            stat.S_IMODE(there.st_mode),
            there.st_uid,
            there.st_gid,
            data,
            int(there.st_mtime),
        )
    return found


# --- the comparison -------------------------------------------------------------------------------------------------


def permitted(path: str, before: dict, ours: tuple, theirs: tuple, options: CopyOptions) -> bool:
    """The differences on purpose."""
    was = before.get(path)
    kind, mode, uid, gid, data, _ = ours
    if was is not None and was[0] == kind == theirs[0] == stat.S_IFDIR:
        return (mode, uid, gid) == was[1:4]  # a directory that exists keeps its mode and owner
    if (kind, data) != (theirs[0], theirs[4]):
        return False
    # Content decides, not time: what is the same is not made anew, so that it also keeps what is not asked for.
    same = was is not None and (was[0], was[4]) == (kind, data)
    expected_uid = was[2] if same and not options.owner else theirs[2]
    # Without -g a group is inherited where a directory has the set-group-ID bit, and directories keep theirs.
    return (mode, uid) == (theirs[1], expected_uid) and (gid == theirs[3] or not options.group)


def same_times(path: str, before: dict, ours: tuple, theirs: tuple) -> bool:
    """Whether what was made new has the time that rsync gave it, if it gave one."""
    given = theirs[5] < 1_500_000_000
    return path in before or not given or ours[5] == theirs[5]


def compare(before: dict, found: dict, expected: dict, options: CopyOptions) -> None:
    assert found.keys() == expected.keys()
    for path, entry in found.items():
        assert entry == expected[path] or permitted(path, before, entry, expected[path], options), path
        assert same_times(path, before, entry, expected[path]), path


FLAGS = [
    ["-a"],
    ["-avh"],
    ["-avzh", "--mkpath"],
    ["-a", "--delete"],
    ["-a", "--no-o", "--no-g"],
    ["-a", "--no-perms"],
    ["-r"],
    ["-rl"],
    ["-rlptD"],
    ["-lptgoD"],
    ["-rt", "--links", "--perms"],
    ["-a", "--no-times", "--mkpath"],
    ["-ac"],
]

operands = st.sampled_from(
    [
        "s/",
        "s/",
        "s/",
        "s",
        "s",
        "s/.",
        "s/a",
        "s/b",
        "s/a/",
        "s/b/",
        "two/",
        "two",
        "sl/",
        "sl",
        "s/no",
        "s/c",
        "./s//",
    ]
)
places = st.sampled_from(
    [
        "d",
        "d",
        "d/",
        "d/",
        "d/a",
        "d/b",
        "d/a/",
        "d/new",
        "d/new/",
        "d/no/deep",
        "d/no/deep/",
        "dl",
        "dl/",
        "fresh",
        "dangling",
        "./d//a",
    ]
)


@dataclass(frozen=True)
class Case:
    source: Folder
    second: Folder
    existing: Folder
    sources: list[str]
    destination: str
    flags: list[str]
    umask: int


def prepare(top: Path, case: Case) -> str:
    """Two sources ``s`` and ``two``, a destination ``d``, links to both, a dangling link."""
    top.mkdir()
    root = str(top)
    build(f"{root}/s", case.source, 1_000_000_000)
    build(f"{root}/two", case.second, 1_000_000_001)
    build(f"{root}/d", case.existing, 1_000_000_777)
    os.symlink("s", f"{root}/sl")
    os.symlink("d", f"{root}/dl")
    os.symlink("nothing", f"{root}/dangling")
    return root


def run_copy(case: Case, root: str, destinations) -> tuple[int, list[FileChange]]:
    reports: list[FileChange] = []
    status = copy(
        case.sources,
        case.destination,
        cwd=root,
        umask=case.umask,
        options=parse(case.flags),
        make_parent=False,
        destinations=destinations,
        report=reports.append,
    )
    destinations.next_evaluation()
    return status, reports


def run_rsync(case: Case, root: str) -> int:
    arguments = ["rsync", *case.flags, "--", *case.sources, case.destination]
    done = subprocess.run(arguments, cwd=root, umask=case.umask, capture_output=True, check=False)
    return done.returncode


def untouched(root: str) -> dict[str, tuple[int, int]]:
    """The change time and inode of everything."""
    return {path: (os.lstat(root + path).st_ctime_ns, os.lstat(root + path).st_ino) for path in snapshot(root)}


examples = settings(
    max_examples=int(os.environ.get("EXAMPLES", "200")),
    derandomize="EXAMPLES" not in os.environ,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
@pytest.mark.timeout(0 if "EXAMPLES" in os.environ else 120)
@examples
@given(case=cases())
def test_copy_leaves_what_rsync_leaves_and_a_second_one_touches_nothing(tmp_path_factory, case):
    top = tmp_path_factory.mktemp("case")
    theirs, ours = prepare(top / "theirs", case), prepare(top / "ours", case)
    destinations = _memory()
    try:
        for _ in range(2):  # rsync itself settles at the second run: it copies an empty directory *as* what is missing
            before = snapshot(ours)
            their_status = run_rsync(case, theirs)
            our_status, reports = run_copy(case, ours, destinations)
            assert our_status == their_status, reports
            compare(before, snapshot(ours), snapshot(theirs), parse(case.flags))
        stamps = untouched(ours)
        failures = {change for change in reports if change.change is Change.FAILED}
        for ledger in (destinations, _memory()):
            again, reports = run_copy(case, ours, ledger)
            assert untouched(ours) == stamps
            assert again == our_status
            assert {c for c in reports if c.change is not Change.UNCHANGED} == failures
    finally:
        shutil.rmtree(top)
