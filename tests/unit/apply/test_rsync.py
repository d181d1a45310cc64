import pytest

from nodeagent.apply.rsync import ARCHIVE, CopyOptions, is_local, parse


def options(*names: str) -> CopyOptions:
    return CopyOptions(**dict.fromkeys(names, True))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-a"], options(*ARCHIVE)),
        (["-avzh"], options(*ARCHIVE)),
        (["-av", "-z", "--human-readable", "-q", "--"], options(*ARCHIVE)),
        (["--archive", "--compress", "--verbose", "--mkpath"], options(*ARCHIVE, "mkpath")),
        (["-rlptgoD"], options(*ARCHIVE)),
        (["-D"], options("devices", "specials")),
        (["-rlt"], options("recursive", "links", "times")),
        (["-a", "--no-owner", "--no-g"], options(*ARCHIVE - {"owner", "group"})),
        (["-a", "--no-D"], options(*ARCHIVE - {"devices", "specials"})),
        (["--no-o", "-a"], options(*ARCHIVE)),
        (["-a", "--no-perms", "-p"], options(*ARCHIVE)),
        (["-a", "--no-v", "--no-compress"], options(*ARCHIVE)),
        (["-a", "--delete"], options(*ARCHIVE, "delete")),
        (["-aci", "--stats", "--progress", "-W"], options(*ARCHIVE)),
        ([], options()),
    ],
)
def test_these_options_are_understood(words, expected):
    assert parse(words) == expected


@pytest.mark.parametrize(
    "words",
    [
        ["-an"],
        ["-au"],
        ["-aH"],
        ["-aX"],
        ["-ae", "ssh"],
        ["-a", "--exclude=x"],
        ["-a", "--chmod=F644"],
        ["-a", "--chown=root:root"],
        ["-a", "--backup"],
        ["-a", "--delete=x"],
        ["-lt", "--delete"],
        ["-a", "--no-archive"],
        ["-a", "--no-delete"],
        ["-a", "--no-mkpath"],
        ["-a", "--arch"],
        ["-a", "-"],
        ["-a", "--", "-v"],
        ["-a", ""],
        ["-a", "file"],
        ["-aé"],
    ],
)
def test_any_other_option_leaves_the_statement_to_the_shell(words):
    assert parse(words) is None


@pytest.mark.parametrize(
    ("operand", "local"),
    [
        ("files/a", True),
        ("./a:b", True),
        ("/a:b", True),
        ("*", True),
        ("host:path", False),
        ("user@host:", False),
        ("rsync://host/x", False),
        ("host::module", False),
        ("-n", False),
        ("", False),
    ],
)
def test_only_local_files_are_copied(operand, local):
    assert is_local(operand) is local
