import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.cli.check_credentials import is_there, problems

NAME = "nodeagent.password"
DROP_IN = "etc/systemd/system/nodeagent.service.d/password.conf"


@pytest.fixture
def root() -> Iterator[Path]:
    """The root of a node, in memory."""
    with tempfile.TemporaryDirectory(prefix="nodeagent-test-", dir="/dev/shm") as directory:
        put(Path(directory) / "proc/cmdline", "root=live:http://mgmt/root.img quiet\n")
        yield Path(directory)


def put(path: Path, text: str = "secret\n", mode: int = 0o400) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(mode)
    path.write_text(text)


def named(root: Path) -> str:
    return "\n".join(problems(NAME, root)).replace(str(root), "ROOT")


def test_without_a_trace_of_it_it_is_not_there(root: Path) -> None:
    put(root / "etc/credstore/another")
    put(root / DROP_IN, "[Service]\nLoadCredential=another:/etc/another\n")
    assert not is_there(NAME, root)
    assert named(root) == ""


@pytest.mark.parametrize(
    "store",
    ["etc/credstore", "run/credstore", "usr/lib/credstore.encrypted", "run/credentials/@system"],
)
def test_in_a_store_of_systemd_s_it_is_there(root: Path, store: str) -> None:
    put(root / store / NAME)
    assert is_there(NAME, root)
    assert named(root) == ""


@pytest.mark.parametrize("setting", ["LoadCredential", "LoadCredentialEncrypted", "SetCredentialEncrypted"])
def test_a_drop_in_may_bring_it(root: Path, setting: str) -> None:
    put(root / DROP_IN, f"[Service]\n{setting}={NAME}:/etc/password\n", 0o644)
    assert is_there(NAME, root)
    assert named(root) == ""


def test_a_credential_in_a_unit_file_is_one_that_everybody_can_read(root: Path) -> None:
    put(root / DROP_IN, f"[Service]\nSetCredential={NAME}:secret\n", 0o600)
    assert is_there(NAME, root)
    assert named(root).startswith(f"ROOT/{DROP_IN}: SetCredential={NAME}: every user can ask systemd for it over D-Bus")
    assert "secret" not in named(root)


@pytest.mark.parametrize("argument", ["systemd.set_credential", "systemd.set_credential_binary"])
def test_a_credential_on_the_kernel_s_command_line_is_one_that_everybody_can_read(root: Path, argument: str) -> None:
    put(root / "proc/cmdline", f"quiet {argument}={NAME}:c2VjcmV0 splash\n", 0o444)
    assert "every user can read it in /proc/cmdline" in named(root)
    assert "c2VjcmV0" not in named(root)


def test_a_store_that_others_can_read_is_named(root: Path) -> None:
    put(root / "etc/credstore" / NAME, mode=0o444)
    assert "mode 0444): chown root" in named(root)


def test_a_store_on_a_disk_is_named(root: Path, tmp_path: Path) -> None:
    put(tmp_path / NAME)
    (root / "etc").mkdir()
    (root / "etc/credstore").symlink_to(tmp_path)
    assert "lies on a disk" in named(root)
