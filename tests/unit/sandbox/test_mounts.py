import pytest

from nodeagent.sandbox.mounts import Treatment, is_below, parse, shown

TABLE = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
28 27 0:25 / /run rw - tmpfs tmpfs rw
29 28 0:26 / /run/user/0 rw - tmpfs tmpfs rw
30 27 0:27 / /srv/scratch\040one rw,noexec shared:2 master:3 - xfs /dev/vdb rw
31 27 0:28 / /users rw - nfs4 server:/users rw
32 31 254:1 / /users/local rw - ext4 /dev/vdc rw
33 27 0:29 / /misc rw - autofs map rw
34 27 0:30 / /hidden/below rw - ext4 /dev/vdd rw
35 27 0:31 / /hidden rw - tmpfs tmpfs ro
36 27 0:32 / /twice rw - ext4 /dev/vde rw
37 36 0:33 / /twice rw - tmpfs tmpfs rw
38 36 0:34 / /twice/older rw - ext4 /dev/vdf rw
"""


def test_each_mount_that_can_be_seen_is_made_once_and_nothing_below_what_is_replaced_or_absent():
    found = [(entry.path, entry.kind) for entry in shown(list(parse(TABLE)))]
    assert found == [
        ("/", "ext4"), ("/srv/scratch one", "xfs"), ("/users", "nfs4"), ("/misc", "autofs"), ("/hidden", "tmpfs"),
        ("/twice", "tmpfs"),
    ]  # fmt: skip


def test_what_may_ask_a_server_or_mount_something_is_absent():
    treatments = {entry.path: entry.treatment for entry in parse(TABLE)}
    absent = {path for path, treatment in treatments.items() if treatment is Treatment.ABSENT}
    assert {"/users", "/misc"} <= absent
    assert not {"/", "/srv/scratch one", "/users/local"} & absent


def test_a_root_from_the_network_is_read_as_any_other():
    (root,) = parse(b"1 0 0:1 / / ro,relatime - nfs server:/image ro")
    assert root.treatment is Treatment.OVERLAID
    assert "ro" in root.options


@pytest.mark.parametrize(("path", "top", "below"), [("/a/b", "/a", True), ("/ab", "/a", False), ("/a", "/", True)])
def test_a_path_is_below_whole_names_only(path, top, below):
    assert is_below(path, top) is below
