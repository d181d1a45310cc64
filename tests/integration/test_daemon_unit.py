"""The unit and its companions, judged by systemd's own programs on a root of the test's own."""

import shutil
import subprocess  # noqa: TID251 - a test asks systemd's programs
from pathlib import Path

import pytest

from nodeagent.report import catalogue

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "nodeagent.service"

# Each of these gives the service a mount namespace of its own (systemd.exec(5)).
MOUNT_NAMESPACE = {
    *("PrivateTmp", "PrivateDevices", "PrivateMounts", "PrivateUsers", "PrivateIPC", "PrivateNetwork"),
    *("ProtectSystem", "ProtectHome", "ProtectProc", "ProtectKernelTunables", "ProtectKernelModules"),
    *("ProtectKernelLogs", "ProtectControlGroups", "ProtectHostname", "ProcSubset", "MountAPIVFS", "MountFlags"),
    *("ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths", "TemporaryFileSystem"),
    *("BindPaths", "BindReadOnlyPaths", "RootDirectory", "RootImage", "MountImages", "ExtensionImages", "DynamicUser"),
    *("LogNamespace", "NetworkNamespacePath", "IPCNamespacePath"),
}


def settings() -> dict[str, str]:
    lines = (line.strip() for line in UNIT.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def run(*argv: str | Path) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not here")


def test_systemd_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    needs("systemd-analyze")
    shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    shutil.copy(UNIT, tmp_path / "usr/lib/systemd/system")
    (tmp_path / "usr/bin").mkdir()
    for program in ("nodeagent", "kill"):
        (tmp_path / "usr/bin" / program).touch(mode=0o755)
    assert run("systemd-analyze", "verify", f"--root={tmp_path}", "nodeagent.service") == ""


def test_what_post_sh_mounts_is_mounted_for_the_whole_node() -> None:
    assert settings().keys().isdisjoint(MOUNT_NAMESPACE)


def test_what_a_postscript_left_running_outlives_the_agent() -> None:
    assert settings()["KillMode"] == "process"
    assert settings()["OOMPolicy"] == "continue"
    assert settings()["TasksMax"] == "infinity"  # it counts as long as it runs, with all that it starts


def test_a_postscript_s_keys_are_root_s() -> None:
    assert settings()["KeyringMode"] == "shared"


def test_the_user_that_fetches_is_made_without_a_shell(tmp_path: Path) -> None:
    needs("systemd-sysusers")
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr/lib/sysusers.d").mkdir(parents=True)
    shutil.copy(SYSTEMD / "sysusers.d/nodeagent.conf", tmp_path / "usr/lib/sysusers.d")
    run("systemd-sysusers", f"--root={tmp_path}")
    fields = (tmp_path / "etc/passwd").read_text().strip().split(":")
    assert (fields[0], fields[-1]) == ("nodeagent", "/usr/sbin/nologin")


def test_the_directories_are_root_s_and_the_state_is_private(tmp_path: Path) -> None:
    needs("systemd-tmpfiles")
    (tmp_path / "usr/lib/tmpfiles.d").mkdir(parents=True)
    shutil.copy(SYSTEMD / "tmpfiles.d/nodeagent.conf", tmp_path / "usr/lib/tmpfiles.d")
    run("systemd-tmpfiles", f"--root={tmp_path}", "--create")
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("run/nodeagent", "var/lib/nodeagent")}
    assert modes == {"run/nodeagent": 0o755, "var/lib/nodeagent": 0o700}


def test_the_catalogue_explains_every_message_id_and_no_other(tmp_path: Path) -> None:
    ids = {value for name, value in vars(catalogue).items() if name.isupper()}
    text = (SYSTEMD / "catalog/nodeagent.catalog").read_text()
    assert {line.removeprefix("-- ") for line in text.splitlines() if line.startswith("-- ")} == ids
    needs("journalctl")
    (tmp_path / "usr/lib/systemd/catalog").mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(SYSTEMD / "catalog/nodeagent.catalog", tmp_path / "usr/lib/systemd/catalog")
    assert run("journalctl", f"--root={tmp_path}", "--update-catalog") == ""
    assert (tmp_path / "var/lib/systemd/catalog/database").stat().st_size > len(text) / 2
