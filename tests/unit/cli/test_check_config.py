import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.cli import main

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: its files are looked at as root does")


@pytest.fixture
def node() -> Iterator[Path]:
    """A directory in memory with all that a configuration needs."""
    directory = Path(tempfile.mkdtemp(prefix="nodeagent-test-", dir="/dev/shm"))
    for name, mode in (("key.enc", 0o600), ("known_hosts", 0o644), ("password", 0o400), ("environment", 0o600)):
        (directory / name).write_text("x")
        (directory / name).chmod(mode)
    configure(directory)
    yield directory
    shutil.rmtree(directory)


def configure(node: Path, source: str = "", more: str = "") -> None:
    (node / "nodeagent.toml").write_text(
        f'environment_file = "{node}/environment"\n{more}\n'
        f'[source]\nurl = "ssh://git@host/repo"\nkey = "{node}/key.enc"\nknown_hosts = "{node}/known_hosts"\n'
        f'user = "nobody"\n{source}\n[password]\nfile = "{node}/password"\n'
    )


def check(node: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    code = main.call(["check-config", "--config", str(node / "nodeagent.toml"), *options])
    out, err = capsys.readouterr()
    return code, out, err.replace(str(node), "NODE")


def test_a_good_configuration_is_ok(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(node, capsys) == (0, f"{node}/nodeagent.toml: OK\n", "")


def test_a_password_that_will_come_as_a_credential_is_not_missed(
    node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (node / "password").unlink()
    assert check(node, capsys)[0] == 0


def test_all_values_are_shown_with_their_defaults(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = check(node, capsys, "--show")
    assert code == 0
    assert 'source.url = "ssh://git@host/repo"\n' in out
    assert "interval = 300\n" in out or "interval = 300.0\n" in out
    assert 'paths.runtime = "/run/nodeagent"\n' in out
    assert out.endswith(": OK\n")


def test_a_configuration_that_would_be_refused_is_exit_code_1_with_the_reason(
    node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(node, more="intervall = 3")
    code, out, err = check(node, capsys)
    assert (code, out) == (1, "")
    assert err.startswith("nodeagent: NODE/nodeagent.toml: intervall: unknown key")


@pytest.mark.parametrize(
    ("name", "key"),
    [("key.enc", "source.key"), ("known_hosts", "source.known_hosts"), ("environment", "environment_file")],
)
def test_a_file_that_is_missing_is_named(node: Path, capsys: pytest.CaptureFixture[str], name: str, key: str) -> None:
    (node / name).unlink()
    assert check(node, capsys) == (1, "", f"nodeagent: {key}: NODE/{name}: no such file\n")


@needs_root
def test_a_password_that_others_can_read_is_named(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (node / "password").chmod(0o440)
    code, _, err = check(node, capsys)
    assert code == 1
    assert err.startswith("nodeagent: password.file: NODE/password: others may read it (mode 0440): chmod 0400")


@needs_root
def test_a_password_on_a_disk_is_named(node: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "password").touch(mode=0o400)
    (node / "password").unlink()
    (node / "password").symlink_to(tmp_path / "password")
    assert "lies on a disk" in check(node, capsys)[2]


def test_a_program_for_the_password_that_is_not_there_is_named(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (node / "nodeagent.toml").open("a") as file:
        file.write('command = ["no-such-vault", "get"]\n')
    code, _, err = check(node, capsys)
    assert code == 1
    assert err.startswith("nodeagent: password.command: no-such-vault: there is no such program")


@pytest.mark.parametrize("name", ["nodeagent.toml", "key.enc", "known_hosts", "environment"])
def test_a_file_that_others_can_change_is_named(node: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (node / name).chmod(0o666)
    code, _, err = check(node, capsys)
    assert code == 1
    assert err.endswith(f"NODE/{name}: others can change it (mode 0666): chmod go-w\n")


@needs_root
def test_a_file_of_somebody_else_is_named(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.chown(node / "known_hosts", 64_999, 64_999)
    assert check(node, capsys)[2] == (
        "nodeagent: source.known_hosts: NODE/known_hosts: belongs to user 64999: root must own it\n"
    )


def test_a_directory_in_the_place_of_a_file_is_named(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (node / "key.enc").unlink()
    (node / "key.enc").mkdir(mode=0o755)
    assert check(node, capsys)[2] == "nodeagent: source.key: NODE/key.enc: not a regular file\n"


def test_a_path_through_a_file_is_named(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (node / "nodeagent.toml").write_text(
        (node / "nodeagent.toml").read_text().replace(f'key = "{node}/key.enc"', f'key = "{node}/known_hosts/key"')
    )
    assert check(node, capsys)[2] == "nodeagent: source.key: NODE/known_hosts/key: Not a directory\n"


def test_a_user_that_does_not_exist_is_named(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (node / "nodeagent.toml").read_text().replace('"nobody"', '"nobody-of-this-name"')
    (node / "nodeagent.toml").write_text(text)
    assert "there is no user nobody-of-this-name" in check(node, capsys)[2]


def test_all_problems_are_named_at_once(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("key.enc", "known_hosts"):
        (node / name).unlink()
    assert len(check(node, capsys)[2].splitlines()) == 2


# --- [signatures] ----------------------------------------------------------------------------------------------

SIGNER = "alice ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIr6dnwB0HTCq3mzNMzYYvMVPlzBIPXQmUzN1gDcDpAL\n"


def configure_signers(node: Path, text: str, mode: int = 0o644) -> None:
    (node / "allowed").write_text(text)
    (node / "allowed").chmod(mode)
    configure(node, source=f'[signatures]\nallowed_signers = "{node}/allowed"')


def test_a_sound_file_of_signers_is_ok(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_signers(node, SIGNER)

    assert check(node, capsys)[0] == 0


def test_a_file_of_signers_that_cannot_be_followed_is_told_by_its_line(
    node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_signers(node, f"{SIGNER}bob cert-authority {SIGNER[6:]}")

    code, _, err = check(node, capsys)

    assert code == 1
    assert "signatures.allowed_signers: NODE/allowed: line 2: cert-authority: certificates are not taken" in err


def test_a_file_of_signers_that_others_can_change_is_told(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_signers(node, SIGNER, 0o666)

    code, _, err = check(node, capsys)

    assert code == 1
    assert "signatures.allowed_signers: NODE/allowed: others can change it" in err


def test_a_file_of_signers_that_is_missing_is_told_once(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(node, source=f'[signatures]\nopenpgp_keyring = "{node}/keyring"')

    code, _, err = check(node, capsys)

    assert code == 1
    assert err == "nodeagent: signatures.openpgp_keyring: NODE/keyring: no such file\n"


def test_revoked_signers_alone_demand_nothing_and_are_refused(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(node, source=f'[signatures]\nrevoked_signers = "{node}/revoked"')

    code, _, err = check(node, capsys)

    assert code == 1
    assert "revoked_signers goes with allowed_signers" in err
