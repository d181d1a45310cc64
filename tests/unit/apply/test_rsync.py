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
        ["-a", "--exclude=[x"],
        ["-a", "--exclude"],
        ["-a", "--exclude-from=x"],
        ["-a", "--filter=- x"],
        ["-a", "--chmod=g=u"],
        ["-a", "--chown=a,b:root"],
        ["-a", "--chown=root", "--chown=daemon"],
        ["-r", "--chown=root:root"],
        ["-a", "--no-group", "--chown=root:root"],
        ["-a", "--delete-before", "--delete-after"],
        ["-a", "--recursive=yes"],
        ["-a", "--info=nonsense"],
        ["-aR"],
        ["-aA"],
        ["-ax"],
        ["-aK"],
        ["-aL"],
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


def test_values_stand_behind_an_equals_sign_or_in_the_next_word():
    joined = parse(["-a", "--exclude=*.swp", "--chmod=F644", "--chown=munge:munge", "--info=progress2"])
    apart = parse(["-a", "--exclude", "*.swp", "--chmod", "F644", "--chown", "munge:munge"])
    assert joined == apart
    assert joined.rules.leave_out("a.swp", is_directory=False)
    assert (joined.user, joined.new_group) == ("munge", "munge")


def test_what_is_excluded_is_protected_unless_it_is_to_be_deleted():
    assert parse(["-a", "--delete", "--exclude=x"]).protecting.leave_out("x", is_directory=False)
    excluded = parse(["-a", "--delete-excluded", "--exclude=x"])
    assert excluded.delete
    assert not excluded.protecting.leave_out("x", is_directory=False)
