"""xCAT's side of a node: its programs, as far as an administrator meets them, and the way it runs postbootscripts.

xCAT itself is not here. What it does with a postbootscript was read in its xcatdsklspost: the entry is split like a
shell command's words, with ``xcatdebugmode`` a program runs under ``bash -x``, both its outputs go into a log
by a pipe, and the node's status is ``booted`` if every script ended with 0.
"""

from pathlib import Path

IMAGE = "rocky8.4-x86_64-netboot-compute"
STATUS = "/run/xcat.status"
LOG = "/var/log/xcat/xcat.log"
UNIT = "xcatpostinit1.service"

_PROGRAMS = {
    "lsdef": f"cat /install/{IMAGE}.stanza",
    "mkdef": f'[ "$*" = "-z -f" ] && cat >/install/{IMAGE}.stanza',
    "genimage": "IMG_ROOTIMGDIR=/install/rootimg sh /install/custom/netboot/compute.postinstall /install/rootimg",
    "packimage": "true",
    "nodeset": "true",
    "rpower": "true",
    "systemd-ask-password": "cat /run/typed",
}

_STANZA = f"""# <xCAT data object stanza file>

{IMAGE}:
    objtype=osimage
    imagetype=linux
    postbootscripts=otherpkgs,git-config-execute.sh OLD-PASSWORD
    profile=compute
    provmethod=netboot
"""

_SCRIPT = """#!/bin/bash
export NODE=cn1 MASTER=10.0.0.1
failed=0
one() {
  bash -x ./"$@" 2>&1 | tee -a @LOG@ | tee >(logger -t xcat.deployment.postbootscript -p debug)
  [ "${PIPESTATUS[0]}" = 0 ] || failed=1
}
mkdir -p /var/log/xcat
cd /xcatpost
@SCRIPTS@
if [ "$failed" = 0 ]; then echo booted; else echo failed; fi >@STATUS@
"""


def manage(root: Path) -> None:
    """Make the machine whose files are below ``root`` look like xCAT's management node."""
    programs = root / "usr/local/sbin"
    for directory in (
        programs,
        *(root / "install" / name for name in ("postscripts", "custom/netboot", "rootimg/etc")),
    ):
        directory.mkdir(parents=True)
    for name, text in _PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    (root / f"install/{IMAGE}.stanza").write_text(_STANZA)
    (root / "install/custom/netboot/compute.postinstall").write_text("")


def mypostscript(postbootscripts: str) -> str:
    """The program that xCAT makes of an osimage's postbootscripts, and runs on the node with xcatdebugmode on."""
    lines = "\n".join(f"one {item}" for item in postbootscripts.split(","))
    return _SCRIPT.replace("@SCRIPTS@", lines).replace("@LOG@", LOG).replace("@STATUS@", STATUS)
