"""COPY against the real rsync: what both leave behind on random trees is the same.

``EXAMPLES=5000 pytest tests/integration/test_copy_rsync.py`` looks further, at random.
"""

import dataclasses
import importlib.util
import os
import shutil
import stat
import struct
import subprocess  # noqa: TID251 - rsync is what COPY is compared with
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nodeagent.apply.copy import copy
from nodeagent.apply.rsync import CopyOptions, parse
from nodeagent.model.evaluation import Change, FileChange

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


def acl(**permissions: int) -> bytes:
    """As an extended attribute; ``daemon`` is the user with the number 1."""
    tags = {"user": 0x01, "daemon": 0x02, "group": 0x04, "mask": 0x10, "other": 0x20}
    ids = {"daemon": 1}
    entries = [struct.pack("<HHI", tags[name], bits, ids.get(name, 0xFFFFFFFF)) for name, bits in permissions.items()]
    return struct.pack("<I", 2) + b"".join(entries)


DEFAULT_ACLS = [
    acl(user=7, group=5, other=0),
    acl(user=7, daemon=7, group=5, mask=7, other=0),
    acl(user=6, daemon=7, group=7, mask=4, other=4),
]


def acls(path: str) -> tuple[bytes, ...]:
    """The ACL of a path, and the one that it gives to what is made in it; empty: none."""
    names = [f"system.posix_acl_{which}" for which in ("access", "default")]
    known = [] if os.path.islink(path) else os.listxattr(path)
    return tuple(os.getxattr(path, name) if name in known else b"" for name in names)


def set_default(top: str, default: bytes) -> None:
    """Give a directory and all below it a default ACL; what stands there gets no other ACL by it."""
    for directory, _, _ in os.walk(top):
        os.setxattr(directory, "system.posix_acl_default", default)


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
        flags=draw(flag_lists),
        same_time=draw(st.booleans()),
        umask=draw(st.sampled_from([0o022, 0o077, 0o002])),
        default_acl=draw(st.sampled_from([b"", b"", b"", *DEFAULT_ACLS])),
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
    """Everything below, by path: kind, mode, uid, gid, content or target, time, and ACLs."""
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
            acls(path),
        )
    return found


# --- the comparison -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """One path as both left it, see :func:`snapshot`; ``was``: before both."""

    was: tuple | None
    ours: tuple
    theirs: tuple
    options: CopyOptions

    @property
    def same_content(self) -> bool:
        return self.was is not None and (self.was[0], self.was[4]) == (self.ours[0], self.ours[4])


def _existing_directory(it: Found) -> bool:
    if it.was is None or not it.was[0] == it.ours[0] == it.theirs[0] == stat.S_IFDIR:
        return False
    expressly = it.options.perms and any(not change.files for change in it.options.chmod)
    return it.ours[1] == (it.theirs if expressly else it.was)[1] and it.ours[2:4] == it.was[2:4]


def _equal_content(it: Found) -> bool:
    expected_uid = it.was[2] if it.same_content and not it.options.owner else it.theirs[2]
    same_gid = it.ours[3] == it.theirs[3] or (it.same_content and not it.options.group)
    return (
        it.same_content
        and (it.ours[0], it.ours[4]) == (it.theirs[0], it.theirs[4])
        and ((it.ours[1], it.ours[2]) == (it.theirs[1], expected_uid) and same_gid)
    )


def _inherited_group(it: Found) -> bool:
    return not it.options.group and it.ours[:3] == it.theirs[:3] and it.ours[4] == it.theirs[4]


def _missed_change(it: Found) -> bool:
    missed = it.was is not None and it.was[0] == stat.S_IFREG and it.theirs[4:6] == it.was[4:6] != it.ours[4:6]
    return missed and len(it.ours[4]) == len(it.was[4]) and it.ours[:2] == it.theirs[:2]


PERMITTED = {
    "a directory that exists keeps its mode and owner, unless --chmod=D names it: git has none": _existing_directory,
    "what has the right content is not made anew, so that it keeps the owner that no flag asks for": _equal_content,
    "without -g a group is inherited where the directory has the set-group-ID bit": _inherited_group,
    "a change that keeps size and second is seen, which rsync misses": _missed_change,
}


def same_times(path: str, before: dict, ours: tuple, theirs: tuple) -> bool:
    """Whether what was made new has the time that rsync gave it, if it gave one; what exists keeps its own."""
    given = theirs[5] < 1_500_000_000
    return path in before or not given or ours[5] == theirs[5]


def keeps_acl(it: Found) -> bool:
    """Whether a file that was replaced has the ACL, or none, that it had; rsync gives it the directory's default.

    A fifo gets that: it is made anew where rsync changes its owner.
    """
    if it.was is None or it.was[0] != it.ours[0]:
        return False
    return it.ours[0] == stat.S_IFIFO or bool(it.was[6][0]) == bool(it.ours[6][0])


def compare(before: dict, found: dict, expected: dict, options: CopyOptions) -> None:
    assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
    for path, entry in found.items():
        it = Found(was=before.get(path), ours=entry, theirs=expected[path], options=options)
        assert entry[:5] == expected[path][:5] or any(holds(it) for holds in PERMITTED.values()), (path, it)
        assert same_times(path, before, entry, expected[path]), path
        assert entry[6] == expected[path][6] or keeps_acl(it), (path, it)


FLAGS = [
    ["-a"],
    ["-a"],
    ["-a"],
    ["-avh"],
    ["-avzh", "--mkpath"],
    ["-a", "--no-o", "--no-g"],
    ["-a", "--no-perms"],
    ["-r"],
    ["-rl"],
    ["-rlptD"],
    ["-lptgoD"],
    ["-rt", "--links", "--perms"],
    ["-a", "--no-times", "--mkpath"],
    ["-acS"],
]
PATTERNS = [
    "a",
    "b",
    "/a",
    "/s/a",
    "a/b",
    "*",
    "?",
    "**",
    "a/*",
    "**/b",
    "b/",
    "[!a]",
    "*a*",
    "/*/a",
    "s/**",
    "a/***",
    "d*",
    "\\*",
]
CHMODS = [
    "D755,F644",
    "u=rwX,go=rX",
    "go-rwx",
    "F600",
    "D2775",
    "a+X",
    "+w",
    "ug+s",
    "=r",
    "Fu+x,Dg-w",
    "F-t,o+t",
    "777",
]
CHOWNS = ["root:root", "1:2", "daemon", ":bin", "4321:4322"]

extras = st.one_of(
    st.sampled_from(["delete", "delete", "delete-before", "delete-after", "delete-delay", "delete-excluded"]).map(
        "--{}".format
    ),
    st.sampled_from(["--force", "-O", "--no-D", "-I", "--numeric-ids", "--info=progress2"]),
    st.sampled_from(PATTERNS).map("--exclude={}".format),
    st.sampled_from(PATTERNS).map("--include={}".format),
    st.sampled_from(CHMODS).map("--chmod={}".format),
    st.sampled_from(CHOWNS).map("--chown={}".format),
)
flag_lists = st.builds(
    list.__add__, st.sampled_from(FLAGS), st.one_of(st.just([]), st.lists(extras, min_size=1, max_size=4))
).filter(parse)

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
    same_time: bool  # the destination's files have the time of the source's
    default_acl: bytes = b""  # of the destination


def prepare(top: Path, case: Case) -> str:
    """Two sources ``s`` and ``two``, a destination ``d``, links to both, a dangling link."""
    top.mkdir()
    root = str(top)
    build(f"{root}/s", case.source, 1_000_000_000)
    build(f"{root}/two", case.second, 1_000_000_001)
    build(f"{root}/d", case.existing, 1_000_000_000 if case.same_time else 1_000_000_777)
    if case.default_acl:
        set_default(f"{root}/d", case.default_acl)
    os.symlink("s", f"{root}/sl")
    os.symlink("d", f"{root}/dl")
    os.symlink("nothing", f"{root}/dangling")
    return root


def is_foreign_link(path: str) -> bool:
    """Whether an earlier run made the destination a link that is not root's."""
    return os.path.islink(path) and os.lstat(path).st_uid != 0


def untouched(root: str) -> dict[str, tuple[int, int]]:
    """The change time and inode of everything."""
    return {path: (os.lstat(root + path).st_ctime_ns, os.lstat(root + path).st_ino) for path in snapshot(root)}


class Pair:
    """One case on two equal trees: one for rsync, one for COPY."""

    def __init__(self, case: Case, top: Path) -> None:
        self.case = case
        self.theirs, self.ours = prepare(top / "theirs", case), prepare(top / "ours", case)
        self.destinations = _memory()
        self.reports: list[FileChange] = []
        self.settled = False
        self._rsync: subprocess.Popen[bytes] | None = None

    def start_rsync(self) -> None:
        if is_foreign_link(f"{self.ours}/{self.case.destination.rstrip('/')}"):
            self.settled = True  # followed by rsync before 3.5, refused since; by COPY in a directory of root's alone
            return
        case = self.case
        self._rsync = subprocess.Popen(
            ["rsync", *case.flags, "--", *case.sources, case.destination],
            cwd=self.theirs,
            umask=case.umask,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end_rsync(self) -> None:
        """Also when the test has failed: no process is left."""
        if self._rsync is not None:
            self._rsync.wait()
            self._rsync = None

    def copy_and_compare(self) -> None:
        if self._rsync is None:
            return
        before = snapshot(self.ours)
        status = self._copy(self.destinations)
        expected, self._rsync = self._rsync.wait(), None
        assert status == expected, (self.case, self.reports)
        compare(before, snapshot(self.ours), snapshot(self.theirs), parse(self.case.flags))

    def copy_again(self) -> None:
        """With and without what the ledger remembers, nothing is touched, and what failed fails again."""
        if self.settled:
            return
        status = self._copy(self.destinations)
        failures = {change for change in self.reports if change.change is Change.FAILED}
        stamps = untouched(self.ours)
        for ledger in (self.destinations, _memory()):
            again = self._copy(ledger)
            assert untouched(self.ours) == stamps, self.case
            assert again == status
            assert {c for c in self.reports if c.change is not Change.UNCHANGED} == failures, self.case

    def _copy(self, ledger) -> int:
        self.reports = []
        status = copy(
            self.case.sources,
            self.case.destination,
            cwd=self.ours,
            umask=self.case.umask,
            options=parse(self.case.flags),
            make_parent=False,
            destinations=ledger,
            report=self.reports.append,
        )
        ledger.next_evaluation()
        return status


@pytest.fixture(scope="module")
def fast_top(tmp_path_factory):
    """A directory in memory where there is one: a thousand trees are made and removed."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path_factory.mktemp("cases")
        return
    top = Path(tempfile.mkdtemp(prefix="nodeagent-copy-", dir=memory))
    try:
        yield top
    finally:
        shutil.rmtree(top)


AT_ONCE = 5  # rsync sleeps 20 ms in its end: several of them sleep together

examples = settings(
    max_examples=int(os.environ.get("EXAMPLES", "500")) // AT_ONCE,
    derandomize="EXAMPLES" not in os.environ,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    phases=list(Phase) if "EXAMPLES" in os.environ else [Phase.generate],  # to make one smaller takes minutes
)


@pytest.mark.slow
@pytest.mark.timeout(0 if "EXAMPLES" in os.environ else 120)
@examples
@given(batch=st.lists(cases(), min_size=AT_ONCE, max_size=AT_ONCE))
def test_copy_leaves_what_rsync_leaves_and_a_second_one_touches_nothing(fast_top, batch):
    top = Path(tempfile.mkdtemp(dir=fast_top))
    pairs: list[Pair] = []
    try:
        for number, case in enumerate(batch):
            (top / str(number)).mkdir()
            pairs.append(Pair(case, top / str(number)))
        for _ in range(2):  # rsync itself settles at the second run: it copies an empty directory *as* what is missing
            for pair in pairs:
                pair.start_rsync()
            for pair in pairs:
                pair.copy_and_compare()
        for pair in pairs:
            pair.copy_again()
    finally:
        for pair in pairs:
            pair.end_rsync()
        shutil.rmtree(top)
