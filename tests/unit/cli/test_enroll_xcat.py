import io
import os
import stat
import subprocess  # noqa: TID251 - tests drive the real programs
import sys
from pathlib import Path

import pytest
import yaml

from nodeagent.cli import main

NAME = "rocky8.4-x86_64-netboot-compute"
DUMP = f"""# <xCAT data object stanza file>

{NAME}:
    objtype=osimage
    imagetype=linux
    postbootscripts=otherpkgs,git-config-execute.sh OLD-SECRET
    profile=compute
    provmethod=netboot
"""


class Site:
    def __init__(self, top: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.top, self._capsys = top, capsys
        self.postscripts, self.custom = top / "postscripts", top / "custom/nodeagent"
        self.postscripts.mkdir()
        self.stanza = top / "stanza"
        self.stanza.write_text(DUMP)
        self.password = top / "password"
        self.password.write_text("Secret_1\n")

    def enroll(self, *words: object, status: int = 0) -> tuple[str, str]:
        places = ["--postscripts", self.postscripts, "--custom", self.custom]
        assert main.call(["enroll", "xcat", *map(str, [*words, *places])]) == status
        return tuple(self._capsys.readouterr())  # type: ignore[return-value]


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(tmp_path, capsys)


def test_a_new_definition_is_whole_and_holds_no_password(site: Site) -> None:
    definition, told = site.enroll("--osimage", NAME)
    assert definition.splitlines()[:2] == ["# <xCAT data object stanza file>", ""]
    assert f"\n{NAME}:\n    objtype=osimage\n" in definition
    for line in (
        "osvers=rocky8.4",
        "osarch=x86_64",
        "provmethod=netboot",
        "profile=compute",
        "rootimgdir=/install/netboot/rocky8.4/x86_64/compute",
        "postbootscripts=nodeagent-boot",
        f"synclists={site.custom}/nodeagent.synclist",
    ):
        assert f"\n    {line}\n" in definition
    assert str(site.postscripts / "nodeagent-boot") in told
    assert f'sh {site.custom}/nodeagent.postinstall "$1"' in told


def test_what_is_written_has_its_mode_whatever_the_umask_and_is_written_again(site: Site) -> None:
    before = os.umask(0o077)
    try:
        site.enroll("--osimage", NAME)
    finally:
        os.umask(before)
    files = {p.name: stat.S_IMODE(p.stat().st_mode) for p in [*site.postscripts.iterdir(), *site.custom.iterdir()]}
    assert files == {"nodeagent-boot": 0o755, "nodeagent.postinstall": 0o755, "nodeagent.synclist": 0o644}
    assert "timeout=900 " in (site.postscripts / "nodeagent-boot").read_text()
    site.enroll("--osimage", NAME, "--timeout", "60")
    assert "timeout=60 " in (site.postscripts / "nodeagent-boot").read_text()


def test_a_dump_is_piped_through_and_the_old_script_replaced(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(DUMP.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    definition, _ = site.enroll("--stanza", "-", "--replace", "git-config-execute.sh")
    script = "otherpkgs,git-config-execute.sh OLD-SECRET"
    added = f"objtype=osimage\n    synclists={site.custom}/nodeagent.synclist\n"
    assert definition == DUMP.replace(script, "otherpkgs,nodeagent-boot").replace("objtype=osimage\n", added)
    site.stanza.write_text(definition)
    assert site.enroll("--stanza", site.stanza)[0] == definition


def test_the_password_stands_in_the_definition_only_when_it_is_to(site: Site) -> None:
    definition, told = site.enroll("--stanza", site.stanza, "--password-file", site.password)
    assert "postbootscripts=otherpkgs,git-config-execute.sh OLD-SECRET,nodeagent-boot Secret_1\n" in definition
    assert "synclists" not in definition
    assert "whoever may run lsdef reads it" in told
    assert "Secret_1" not in told


@pytest.mark.parametrize(
    ("store", "at", "told"),
    [
        ("file", "/etc/nodeagent/secrets/password", "install -D -m 0600 FILE"),
        ("prompt", "/run/nodeagent.password", "systemd-ask-password"),
        ("vault", "/run/nodeagent.password", "vault kv get"),
        ("kubernetes", "/run/secrets/nodeagent/password", "kubectl create secret"),
        ("sealed-secret", "/run/secrets/nodeagent/password", "kubeseal"),
    ],
)
def test_each_store_brings_the_password_by_a_synclist_and_says_how_it_gets_there(
    site: Site, store: str, at: str, told: str
) -> None:
    definition, said = site.enroll("--stanza", site.stanza, "--secret", store)
    assert ",nodeagent-boot\n" in definition
    assert f"synclists={site.custom}/nodeagent.synclist\n" in definition
    synclist = (site.custom / "nodeagent.synclist").read_text()
    assert synclist.splitlines()[-1] == f"{at} -> /run/nodeagent.password"
    assert told in said
    if store in ("kubernetes", "sealed-secret"):
        mount = yaml.safe_load(said.partition("Mount it into xCAT's pod:\n")[2].partition("From there")[0])
        assert mount["volumes"][0]["secret"] == {"secretName": "nodeagent-password", "defaultMode": 0o400}
        assert f"{mount['volumeMounts'][0]['mountPath']}/password" == at


def test_yaml_is_for_xcat_inventory(site: Site) -> None:
    image = yaml.safe_load(site.enroll("--osimage", NAME, "--format", "yaml")[0])["osimage"][NAME]
    assert image["scripts"] == {"postbootscripts": ["nodeagent-boot"]}
    assert image["filestosync"] == [f"{site.custom}/nodeagent.synclist"]
    assert image["basic_attributes"]["distribution"] == "rocky8.4"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--osimage", "compute"], "OSVERS-ARCH-netboot-PROFILE"),
        (["--stanza", "/nonexistent"], "/nonexistent: cannot be read"),
        (["--stanza", "STANZA", "--only", "another"], "no osimage another"),
        (["--stanza", "STANZA", "--secret", "vault", "--password-file", "PASSWORD"], "--secret argument"),
        (["--stanza", "STANZA", "--secret", "argument"], "--password-file"),
        (["--stanza", "-", "--password-file", "-"], "cannot be both"),
        (["--stanza", "BINARY"], "no UTF-8 text"),
        (["--stanza", "STANZA", "--password-file", "SPACE"], "letters, digits"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(site: Site, words: list[str], told: str) -> None:
    (site.top / "binary").write_bytes(b"\xff\n")
    (site.top / "space").write_text("a b'c\n")
    instead = {
        "STANZA": site.stanza,
        "PASSWORD": site.password,
        "BINARY": site.top / "binary",
        "SPACE": site.top / "space",
    }
    definition, said = site.enroll(*(instead.get(word, word) for word in words), status=1)
    assert definition == ""
    assert told in said
    assert list(site.postscripts.iterdir()) == []


def test_where_there_is_no_xcat_it_says_so(site: Site) -> None:
    site.postscripts.rmdir()
    _, said = site.enroll("--osimage", NAME, status=1)
    assert "management node" in said
    assert not site.custom.exists()


def test_a_file_that_is_not_ours_is_left(site: Site) -> None:
    (site.postscripts / "nodeagent-boot").write_text("#!/bin/sh\n")
    _, said = site.enroll("--osimage", NAME, status=1)
    assert "is not nodeagent's" in said
    assert (site.postscripts / "nodeagent-boot").read_text() == "#!/bin/sh\n"


class TestPostinstall:
    """``nodeagent.postinstall``, as genimage runs it."""

    @pytest.fixture
    def image(self, site: Site) -> Path:
        site.enroll("--osimage", NAME)
        for name in ("nodeagent.toml", "known_hosts", "key.enc"):
            (site.custom / name).write_text(name)
        (site.top / "rootimg/etc").mkdir(parents=True)
        return site.top / "rootimg"

    def call(self, site: Site, *arguments: Path | str, root: Path | None = None) -> "subprocess.CompletedProcess[str]":
        line = ["sh", str(site.custom / "nodeagent.postinstall"), *map(str, arguments)]
        environment = {"PATH": os.environ["PATH"]} | ({"IMG_ROOTIMGDIR": str(root)} if root else {})
        return subprocess.run(line, env=environment, capture_output=True, text=True, check=False, umask=0o077)

    @pytest.mark.parametrize("by", ["argument", "environment", "above"])
    def test_it_puts_the_configuration_into_the_image(self, site: Site, image: Path, by: str) -> None:
        done = {
            "argument": lambda: self.call(site, image),
            "environment": lambda: self.call(site, root=image),
            "above": lambda: self.call(site, root=image.parent),
        }[by]()
        assert (done.returncode, done.stderr) == (0, "")
        found = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (image / "etc/nodeagent").iterdir()}
        assert found == {"nodeagent.toml": 0o644, "known_hosts": 0o644, "key.enc": 0o600}

    def test_a_package_that_lies_beside_it_is_installed(
        self, site: Site, image: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (site.custom / "nodeagent-1.0-1.x86_64.rpm").touch()
        (site.top / "bin").mkdir()
        (site.top / "bin/dnf").write_text(f'#!/bin/sh\necho "$@" >{site.top}/installed\n')
        (site.top / "bin/dnf").chmod(0o755)
        monkeypatch.setenv("PATH", f"{site.top}/bin:{os.environ['PATH']}")
        assert self.call(site, image).returncode == 0
        words = (site.top / "installed").read_text().split()
        assert words[:2] == ["--installroot", str(image)]
        assert words[-2:] == ["install", f"{site.custom}/nodeagent-1.0-1.x86_64.rpm"]

    def test_a_file_that_is_missing_beside_it_ends_genimage(self, site: Site, image: Path) -> None:
        (site.custom / "key.enc").unlink()
        done = self.call(site, image)
        assert done.returncode != 0
        assert "key.enc" in done.stderr

    def test_without_an_image_it_touches_nothing(self, site: Site, image: Path) -> None:
        for arguments in ([], [Path("relative")], [Path("/")], ["//"], ["/etc/.."], [site.postscripts]):
            done = self.call(site, *arguments)
            assert done.returncode == 1
            assert done.stderr.startswith("nodeagent: ")
