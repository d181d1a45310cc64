"""A node's own part of a network boot, made by ``nodeagent enroll`` in each of its ways, as a site would use it."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed import xcat
from testbed.gitserver import GitServer
from testbed.programs import run
from testbed.site import CREDENTIAL, configure

PROJECT = Path(__file__).resolve().parent.parent
POLLS = 'interval = 5\njitter = 0\nretry_delay = 2\nargs = ["compute"]'
# xCAT's own unit runs the postbootscripts when the network is there.
XCATPOSTINIT = """[Unit]
Description=The postbootscripts of this node
Wants=network-online.target
After=network-online.target
[Service]
Type=oneshot
ExecStart=/xcatpost/mypostscript
[Install]
WantedBy=multi-user.target
"""
# The image's own network is up already, and no other locale is in it; fewer keys are made sooner.
CLOUD = "network: {config: disabled}\nlocale: false\nssh_genkeytypes: [ed25519]\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """What one node has for itself: the files below ``root``, the kernel's parameters, devices of QEMU."""

    root: Path
    parameters: str = "cloud-init=disabled"
    devices: Sequence[str | Path] = ()


def by_xcat(directory: Path, server: GitServer) -> Enrolled:
    """The postinstall of genimage fills the image; the node runs what the osimage's postbootscripts say."""
    root, _, custom, postscripts = _made(directory, "root", "root/etc", "custom", "postscripts")
    places = ("--postscripts", postscripts, "--custom", custom, "--password-file", server.directory / "password")
    stanza = _enroll("xcat", "--osimage", xcat.IMAGE, *places)
    (line,) = (line for line in stanza.splitlines() if "postbootscripts=" in line)
    for source in _configuration(directory, server).iterdir():
        source.rename(custom / source.name)
    run([custom / "nodeagent.postinstall"], env={**os.environ, "IMG_ROOTIMGDIR": str(root)})
    script = postscripts.rename(root / "xcatpost") / "mypostscript"  # the node gets both from the management node
    script.write_text(xcat.mypostscript(line.partition("=")[2]))
    script.chmod(0o700)
    units = root / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True)
    (units / xcat.UNIT).write_text(XCATPOSTINIT)
    (units / "multi-user.target.wants" / xcat.UNIT).symlink_to(f"../{xcat.UNIT}")
    return Enrolled(root=root)


def by_cloud_init(directory: Path, server: GitServer, *, seed: Path, url: str) -> Enrolled:
    """The image knows nothing; user-data comes from a NoCloud ``seed``, a directory that is served at ``url``."""
    (root,) = _made(directory, "root")
    places = ("--from", _configuration(directory, server), "--password-file", server.directory / "password")
    (seed / "user-data").write_text(_enroll("cloud-init", *places))
    (seed / "meta-data").write_text(f"instance-id: {directory.name}\nlocal-hostname: {directory.name}\n")
    (seed / "vendor-data").write_text("")
    cloud = root / "etc/cloud/cloud.cfg.d"
    cloud.mkdir(parents=True)
    (cloud / "50-image.cfg").write_text(CLOUD)
    return Enrolled(root=root, parameters=f"ds=nocloud-net;s={url}")


def by_credential(directory: Path, server: GitServer) -> Enrolled:
    """The image has the configuration; the machine's firmware has the password, for systemd."""
    root, _ = _made(directory, "root", "root/etc")
    _enroll("image", root, "--from", _configuration(directory, server))
    value = directory / "smbios"
    value.touch(mode=0o600)
    value.write_text(f"io.systemd.credential:{CREDENTIAL}={server.password}")
    return Enrolled(root=root, devices=("-smbios", f"type=11,path={value}"))


def _made(directory: Path, *names: str) -> list[Path]:
    made = [directory / name for name in names]
    for path in made:
        path.mkdir(parents=True)
    return made


def _configuration(directory: Path, server: GitServer) -> Path:
    configure(directory / "administrator", server, settings=POLLS)
    return directory / "administrator/etc/nodeagent"


def _enroll(*arguments: str | Path) -> str:
    return run([sys.executable, "-m", "nodeagent", "enroll", *arguments], cwd=PROJECT, env=os.environ)
