"""User-data, judged by the real cloud-init."""

import os
import shutil
import subprocess  # noqa: TID251 - cloud-init is a program
import sys
from pathlib import Path

import pytest

from testbed import image
from testbed.gitserver import GitServer
from testbed.programs import run
from testbed.site import configure

PROJECT = Path(__file__).resolve().parent.parent
INSIDE = """
mount -t tmpfs tmpfs {root}/run
cp {text} {root}/run/user-data
chroot {root} cloud-init schema --config-file /run/user-data
"""


@pytest.fixture(scope="module")
def cloud_init() -> Path:
    if shutil.which("mmdebstrap") is None or os.geteuid() != 0:
        pytest.skip("needs mmdebstrap, and root")
    return image.with_cloud_init()


@pytest.fixture
def user_data(tmp_path: Path) -> Path:
    """Of a real site, with its password, which has every way of writing a file in it."""
    site = GitServer(tmp_path / "server", port=2222)
    configure(tmp_path / "node", site, settings='args = ["compute"]')
    enroll: list[str | Path] = [sys.executable, "-m", "nodeagent", "enroll", "cloud-init"]
    places: list[str | Path] = [
        "--from",
        tmp_path / "node/etc/nodeagent",
        "--password-file",
        site.directory / "password",
    ]
    (tmp_path / "user-data").write_text(run([*enroll, *places], cwd=PROJECT, env=os.environ))
    return tmp_path / "user-data"


def judged(cloud_init: Path, text: Path) -> "subprocess.CompletedProcess[str]":
    inside = INSIDE.format(root=cloud_init, text=text)
    command = ["unshare", "--mount", "--net", "sh", "-ec", inside]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_cloud_init_takes_the_user_data(cloud_init: Path, user_data: Path) -> None:
    done = judged(cloud_init, user_data)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Valid cloud-config" in done.stdout


def test_cloud_init_would_not_take_what_is_wrong(cloud_init: Path, user_data: Path) -> None:
    text = user_data.read_text()
    user_data.write_text(text.replace('permissions: "0600"', "permissions: 600"))
    assert user_data.read_text() != text
    assert judged(cloud_init, user_data).returncode != 0
