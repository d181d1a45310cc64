"""A node's own part of a network boot, made by ``nodeagent enroll`` in each of its ways, as a site would use it.

The administrator's machine is one that has the same package as the nodes.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed import image, xcat
from testbed.gitserver import GitServer
from testbed.programs import run
from testbed.site import CREDENTIAL, configure

CONFIGURATION = "administrator/etc/nodeagent"  # below a node's directory: what is the same for all
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


class Administrator:
    """Enrols nodes of a site. ``layers`` are those of a Debian with nodeagent's package."""

    def __init__(self, layers: Sequence[Path], server: GitServer) -> None:
        self._layers = layers
        self._server = server

    def by_xcat(self, directory: Path) -> Enrolled:
        """The postinstall of genimage fills the image; the node runs what the osimage's postbootscripts say."""
        root, _, custom, postscripts = _made(directory, "root", "root/etc", "custom", "postscripts")
        places = "--postscripts here/postscripts --custom here/custom --password-file server/password"
        stanza = self._enroll(f"xcat --osimage {xcat.IMAGE} {places}", directory)
        (line,) = (line for line in stanza.splitlines() if "postbootscripts=" in line)
        for source in self._configuration(directory).iterdir():
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

    def by_cloud_init(self, directory: Path, *, seed: Path, url: str) -> Enrolled:
        """The image knows nothing; user-data comes from a NoCloud ``seed``, a directory that is served at ``url``."""
        (root,) = _made(directory, "root")
        self._configuration(directory)
        places = f"--from here/{CONFIGURATION} --password-file server/password"
        (seed / "user-data").write_text(self._enroll(f"cloud-init {places}", directory))
        (seed / "meta-data").write_text(f"instance-id: {directory.name}\nlocal-hostname: {directory.name}\n")
        (seed / "vendor-data").write_text("")
        cloud = root / "etc/cloud/cloud.cfg.d"
        cloud.mkdir(parents=True)
        (cloud / "50-image.cfg").write_text(CLOUD)
        return Enrolled(root=root, parameters=f"ds=nocloud-net;s={url}")

    def by_smbios(self, directory: Path) -> Enrolled:
        """The image has the configuration; the machine's firmware has the password, for systemd."""
        value = f"io.systemd.credential:{CREDENTIAL}={self._server.password}"
        return self._by_firmware(directory, value, "-smbios", "type=11,path={}")

    def by_fw_cfg(self, directory: Path) -> Enrolled:
        """As before, in another place of the firmware."""
        name = f"opt/io.systemd.credentials/{CREDENTIAL}"
        return self._by_firmware(directory, self._server.password, "-fw_cfg", f"name={name},file={{}}")

    def _by_firmware(self, directory: Path, text: str, option: str, value: str) -> Enrolled:
        root, _ = _made(directory, "root", "root/etc")
        self._configuration(directory)
        self._enroll(f"image here/root --from here/{CONFIGURATION}", directory)
        kept = directory / "firmware"
        kept.touch(mode=0o600)
        kept.write_text(text)
        return Enrolled(root=root, devices=(option, value.format(kept)))

    def _configuration(self, directory: Path) -> Path:
        configure(directory / "administrator", self._server, settings=POLLS)
        return directory / CONFIGURATION

    def _enroll(self, words: str, directory: Path) -> str:
        return image.run_inside(
            self._layers, f"nodeagent enroll {words}", {"here": directory, "server": self._server.directory}
        )


def _made(directory: Path, *names: str) -> list[Path]:
    made = [directory / name for name in names]
    for path in made:
        path.mkdir(parents=True)
    return made
