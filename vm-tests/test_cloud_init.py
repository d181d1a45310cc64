"""User-data that the packaged nodeagent prints, judged by the real cloud-init."""

import os
import shutil
import subprocess  # noqa: TID251 - cloud-init is a program
from pathlib import Path

import pytest

from testbed import image
from testbed.gitserver import GitServer
from testbed.programs import run
from testbed.site import configure

INSIDE = """
mount -t tmpfs tmpfs {root}/run
cp {text} {root}/run/user-data
chroot {root} cloud-init schema --config-file /run/user-data
"""


# A boot of cloud-init over that Debian, as far as the user-data goes: what it wrote is kept.
BOOT = """
mount -t tmpfs tmpfs {memory}
mkdir {memory}/upper {memory}/work {memory}/root
mount -t overlay -o lowerdir={root},upperdir={memory}/upper,workdir={memory}/work overlay {memory}/root
cd {memory}/root
mount -t proc proc proc
mount -t tmpfs tmpfs run
mkdir -p var/lib/cloud/seed/nocloud
cp {text} var/lib/cloud/seed/nocloud/user-data
echo 'instance-id: first' >var/lib/cloud/seed/nocloud/meta-data
cat >etc/cloud/cloud.cfg.d/99.cfg <<END
datasource_list: [NoCloud, None]
cloud_init_modules: [write-files]
cloud_config_modules: [runcmd]
END
for stage in 'init --local' init 'modules --mode=config'; do
  chroot . cloud-init $stage >run/log 2>&1 || {{ cat run/log; exit 1; }}
done
cp -a etc/nodeagent run/nodeagent.password var/lib/cloud/instances/first/scripts/runcmd {kept}
"""


@pytest.fixture(scope="module")
def cloud_init() -> Path:
    if shutil.which("mmdebstrap") is None or os.geteuid() != 0:
        pytest.skip("needs mmdebstrap, and root")
    return image.with_cloud_init()


@pytest.fixture
def user_data(layers: list[Path], tmp_path: Path) -> Path:
    """Of a real site, with its password, which has every way of writing a file in it."""
    site = GitServer(tmp_path / "server", port=2222)
    configure(tmp_path / "node", site, settings='args = ["compute"]')
    enroll = "nodeagent enroll cloud-init --from node/etc/nodeagent --password-file server/password"
    places = {"node": tmp_path / "node", "server": site.directory}
    (tmp_path / "user-data").write_text(image.run_inside(layers, enroll, places))
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


def test_cloud_init_writes_what_the_node_needs(cloud_init: Path, user_data: Path, tmp_path: Path) -> None:
    memory, kept = tmp_path / "memory", tmp_path / "kept"
    memory.mkdir()
    kept.mkdir()
    boot = BOOT.format(root=cloud_init, text=user_data, memory=memory, kept=kept)
    run(["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-ec", boot])
    site = tmp_path / "node/etc/nodeagent"
    for name, mode in (("nodeagent.toml", 0o644), ("known_hosts", 0o644), ("key.enc", 0o600)):
        written = kept / "nodeagent" / name
        assert written.read_bytes() == (site / name).read_bytes()
        assert written.stat().st_mode & 0o7777 == mode
    password = kept / "nodeagent.password"
    assert password.read_bytes() == (tmp_path / "server/password").read_bytes()
    assert (password.stat().st_mode & 0o7777, password.stat().st_uid) == (0o600, 0)
    commands = (kept / "runcmd").read_text()
    assert "'systemctl' 'reload-or-restart' 'nodeagent.service'" in commands
    assert commands.rstrip().endswith("'nodeagent' 'ready' '--wait' '--timeout' '900'")
