import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from nodeagent.cli import main
from nodeagent.source.secrets import container, deploy_key

URL = "ssh://git@git.cluster.example:2222/site/compute-configs.git"
PIN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJf2nOQwO9FuUo3SJ1m7IrF2P2b0dQTD4kQ2mHn9XUuN"
Enroll = Callable[..., tuple[str, str]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    (directory / "nodeagent.toml.d").mkdir(parents=True)
    (directory / "nodeagent.toml").write_text(f'args = ["compute"]\n\n[source]\nurl = "{URL}"\n')
    (directory / "nodeagent.toml.d/10-jobs.toml").write_text('[jobs]\nprobe = "none"\n')
    (directory / "known_hosts").write_text(f"[git.cluster.example]:2222 {PIN}\n")
    private, _ = deploy_key.generate("nodes")
    (directory / "key.enc").write_bytes(container.encrypt(private, b"Secret_1"))
    return directory


@pytest.fixture
def password(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text("Secret_1\nmore\n")
    return tmp_path / "password"


@pytest.fixture
def enroll(capsys: pytest.CaptureFixture[str]) -> Enroll:
    def call(*words: object, status: int = 0) -> tuple[str, str]:
        assert main.call(["enroll", *map(str, words)]) == status, capsys.readouterr().err
        return tuple(capsys.readouterr())  # type: ignore[return-value]

    return call


FILES = {
    "etc/nodeagent/nodeagent.toml": 0o644,
    "etc/nodeagent/nodeagent.toml.d/10-jobs.toml": 0o644,
    "etc/nodeagent/known_hosts": 0o644,
    "etc/nodeagent/key.enc": 0o600,
}


class TestCloudInit:
    def test_host_keys_of_the_configuration_need_no_known_hosts(self, enroll: Enroll, source: Path) -> None:
        (source / "known_hosts").unlink()
        (source / "nodeagent.toml.d/20.toml").write_text(
            f'[source]\nhost_keys = ["[git.cluster.example]:2222 {PIN}"]\n'
        )
        text, _ = enroll("cloud-init", "--from", source)
        paths = [entry["path"] for entry in yaml.safe_load(text)["write_files"]]
        assert "/etc/nodeagent/known_hosts" not in paths

    def test_where_no_server_is_asked_by_ssh_neither_key_nor_host_keys_are_needed(
        self, enroll: Enroll, source: Path, password: Path
    ) -> None:
        for name in ("known_hosts", "key.enc"):
            (source / name).unlink()
        (source / "site.pem").write_text("authority\n")
        (source / "nodeagent.toml.d/20.toml").write_text(
            '[source]\nurl = "https://git.cluster.example/configs.git"\nca_file = "/etc/nodeagent/site.pem"\n'
        )
        text, told = enroll("cloud-init", "--from", source)
        paths = {entry["path"] for entry in yaml.safe_load(text)["write_files"]}
        assert "/etc/nodeagent/site.pem" in paths
        assert not paths & {"/etc/nodeagent/known_hosts", "/etc/nodeagent/key.enc"}
        assert "nodeagent.login" in told
        _, told = enroll("cloud-init", "--from", source, "--password-file", password, status=1)
        assert "nodeagent.login" in told

    def test_every_ssh_server_needs_a_pinned_key(self, enroll: Enroll, source: Path) -> None:
        (source / "nodeagent.toml.d/20.toml").write_text('[source]\nmirrors = ["/srv/configs.git", "ssh://mirror/r"]\n')
        _, told = enroll("cloud-init", "--from", source, status=1)
        assert "has no host key of mirror" in told

    def test_the_files_of_signers_go_where_the_configuration_looks_for_them(self, enroll: Enroll, source: Path) -> None:
        (source / "nodeagent.toml.d/20.toml").write_text('[signatures]\nallowed_signers = "/etc/site/signers"\n')
        (source / "signers").write_text("alice ssh-ed25519 AAAA\n")

        text, _ = enroll("cloud-init", "--from", source)

        found = {entry["path"]: entry["content"] for entry in yaml.safe_load(text)["write_files"]}
        assert found["/etc/site/signers"] == "alice ssh-ed25519 AAAA\n"

    def test_it_brings_every_file_and_waits_for_the_node(self, enroll: Enroll, source: Path) -> None:
        text, told = enroll("cloud-init", "--from", source, "--timeout", 60)
        assert text.startswith("#cloud-config\n")
        data = yaml.safe_load(text)
        files = {entry["path"].lstrip("/"): int(entry["permissions"], 8) for entry in data["write_files"]}
        assert files == FILES
        for entry in data["write_files"]:
            name = Path(entry["path"]).relative_to("/etc/nodeagent")
            assert entry["content"].encode() == (source / name).read_bytes()
        assert ["systemctl", "reload-or-restart", "nodeagent.service"] in data["runcmd"]
        assert data["runcmd"][-1] == ["nodeagent", "ready", "--wait", "--timeout", "60"]
        assert "systemd credential nodeagent.password" in told

    def test_the_password_is_in_it_only_when_it_is_given(self, enroll: Enroll, source: Path, password: Path) -> None:
        text, told = enroll("cloud-init", "--from", source, "--password-file", password)
        entry = yaml.safe_load(text)["write_files"][-1]
        assert entry["path"] == "/run/nodeagent.password"
        assert (entry["permissions"], entry["content"]) == ("0600", "Secret_1\n")
        assert "stands in the user-data" in told
        assert "Secret_1" not in told

    def test_a_password_that_does_not_open_the_key_is_refused(
        self, enroll: Enroll, source: Path, password: Path
    ) -> None:
        password.write_text("another\n")
        text, told = enroll("cloud-init", "--from", source, "--password-file", password, status=1)
        assert text == ""
        assert "does not open the key file" in told

    def test_a_key_file_that_is_no_text_goes_as_base64(self, enroll: Enroll, source: Path) -> None:
        (source / "key.enc").write_bytes(b"Salted__\xff\x00raw")
        entry = yaml.safe_load(enroll("cloud-init", "--from", source)[0])["write_files"][-1]
        assert (entry["encoding"], entry["content"]) == ("b64", "U2FsdGVkX1//AHJhdw==")


class TestImage:
    @pytest.fixture
    def image(self, tmp_path: Path) -> Path:
        (tmp_path / "image/etc").mkdir(parents=True)
        return tmp_path / "image"

    def test_configuration_and_keys_are_put_there_with_their_modes(
        self, enroll: Enroll, source: Path, image: Path
    ) -> None:
        for _ in range(2):
            _, told = enroll("image", image, "--from", source)
        found = {str(p.relative_to(image)): stat.S_IMODE(p.stat().st_mode) for p in image.rglob("*") if p.is_file()}
        assert found == FILES
        assert all(f"{image}/{name}: written" in told for name in FILES)

    def test_they_go_where_the_configuration_looks_for_them(self, enroll: Enroll, source: Path, image: Path) -> None:
        with (source / "nodeagent.toml").open("a") as file:
            file.write('key = "/usr/lib/site/deploy.enc"\n')
        enroll("image", image, "--from", source)
        assert (image / "usr/lib/site/deploy.enc").exists()
        assert not (image / "etc/nodeagent/key.enc").exists()

    @pytest.mark.parametrize("name", ["/", "//", "/proc/self/root", "LINK", "MISSING", "EMPTY"])
    def test_what_is_no_image_is_refused(self, enroll: Enroll, source: Path, tmp_path: Path, name: str) -> None:
        (tmp_path / "link").symlink_to("/")
        (tmp_path / "empty").mkdir()
        named = {"LINK": tmp_path / "link", "MISSING": tmp_path / "missing", "EMPTY": tmp_path / "empty"}
        _, told = enroll("image", named.get(name, name), "--from", source, status=1)
        assert "root of" in told

    def test_a_link_out_of_the_image_is_not_followed(
        self, enroll: Enroll, source: Path, image: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "outside").mkdir()
        (image / "etc/nodeagent").symlink_to(tmp_path / "outside")
        _, told = enroll("image", image, "--from", source, status=1)
        assert "it is not followed" in told
        assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("way", ["cloud-init", "image"])
@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("nodeagent.toml", None, "nodeagent.toml: no such file"),
        ("nodeagent.toml", b"[source]\n", "source.url: missing"),
        ("known_hosts", None, "known_hosts: cannot be read"),
        ("known_hosts", b"github.com ssh-ed25519 AAAA\n", "has no host key of git.cluster.example:2222"),
        ("key.enc", None, "key.enc: cannot be read"),
        ("key.enc", b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "is not encrypted"),
    ],
)
def test_what_a_node_could_not_work_with_is_refused(
    enroll: Enroll, source: Path, tmp_path: Path, *, way: str, name: str, content: bytes | None, told: str
) -> None:
    if content is None:
        (source / name).unlink()
    else:
        (source / name).write_bytes(content)
    (tmp_path / "image/etc").mkdir(parents=True)
    words = ["image", tmp_path / "image"] if way == "image" else [way]
    text, said = enroll(*words, "--from", source, status=1)
    assert told in said
    assert text == ""
    assert list((tmp_path / "image/etc").iterdir()) == []


class TestSystemd:
    """With a stand-in: the real one would make a key on this machine. vm-tests has the real one."""

    @pytest.fixture
    def programs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A directory that goes before the system's programs."""
        (tmp_path / "programs").mkdir()
        monkeypatch.setattr(os, "defpath", f"{tmp_path}/programs:{os.defpath}")
        return tmp_path / "programs"

    def stand_in(self, programs: Path, text: str) -> None:
        (programs / "systemd-creds").write_text(f"#!/bin/sh\n{text}\n")
        (programs / "systemd-creds").chmod(0o755)

    def test_the_credential_and_its_drop_in_are_written(
        self, enroll: Enroll, programs: Path, password: Path, tmp_path: Path
    ) -> None:
        self.stand_in(programs, f'echo "$@" >{tmp_path}/words; env >>{tmp_path}/words; sed s/^/sealed:/')
        (tmp_path / "root").mkdir()
        _, told = enroll("systemd", "--password-file", password, "--root", tmp_path / "root", "--with-key", "tpm2")
        sealed = tmp_path / "root/etc/credstore.encrypted/nodeagent.password"
        assert sealed.read_text() == "sealed:Secret_1\n"
        assert stat.S_IMODE(sealed.stat().st_mode) == 0o600
        drop_in = tmp_path / "root/etc/systemd/system/nodeagent.service.d/password.conf"
        setting = "LoadCredentialEncrypted=nodeagent.password:/etc/credstore.encrypted/nodeagent.password"
        assert drop_in.read_text().splitlines()[1:] == ["[Service]", setting]
        words = (tmp_path / "words").read_text()
        assert words.splitlines()[0] == "encrypt --name=nodeagent.password --with-key=tpm2 - -"
        assert "Secret_1" not in words + told
        assert "daemon-reload" in told

    @pytest.mark.parametrize(
        ("text", "told"), [("echo no TPM2 here >&2; exit 1", "no TPM2 here"), ("exit 1", "systemd-creds: failed")]
    )
    def test_a_failure_is_told_and_nothing_is_written(
        self, enroll: Enroll, programs: Path, password: Path, tmp_path: Path, *, text: str, told: str
    ) -> None:
        self.stand_in(programs, text)
        (tmp_path / "root").mkdir()
        _, said = enroll("systemd", "--password-file", password, "--root", tmp_path / "root", status=1)
        assert told in said
        assert "was not encrypted" in said
        assert list((tmp_path / "root").iterdir()) == []

    def test_an_https_servers_token_is_kept_beside_the_password(
        self, enroll: Enroll, programs: Path, password: Path, tmp_path: Path
    ) -> None:
        self.stand_in(programs, "sed s/^/sealed:/")
        (tmp_path / "root").mkdir()
        for name in ("nodeagent.password", "nodeagent.login"):
            words = ("--password-file", password, "--root", tmp_path / "root", "--credential", name)
            enroll("systemd", *words)
        drop_ins = tmp_path / "root/etc/systemd/system/nodeagent.service.d"
        assert {path.name for path in drop_ins.iterdir()} == {"password.conf", "login.conf"}
        setting = "LoadCredentialEncrypted=nodeagent.login:/etc/credstore.encrypted/nodeagent.login"
        assert setting in (drop_ins / "login.conf").read_text()

    def test_an_older_systemd_is_told(
        self, enroll: Enroll, monkeypatch: pytest.MonkeyPatch, password: Path, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("nodeagent.enroll.credential.encryption", lambda *_: [str(tmp_path / "systemd-creds")])
        _, said = enroll("systemd", "--password-file", password, "--root", tmp_path, status=1)
        assert "systemd 250" in said

    @pytest.mark.parametrize("name", ["", "a/b", "..", "a:b"])
    def test_a_name_that_is_no_credentials_is_refused(self, enroll: Enroll, password: Path, name: str) -> None:
        assert "--credential" in enroll("systemd", "--password-file", password, "--credential", name, status=1)[1]
