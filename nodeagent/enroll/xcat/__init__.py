"""What xCAT needs to boot nodes with nodeagent: a postbootscript, a line for genimage, the osimage's definition."""

import re
from collections.abc import Collection, Sequence
from importlib import resources
from pathlib import Path, PurePosixPath

from nodeagent.enroll.placing import MARK, File
from nodeagent.enroll.stanza import Entry, with_entries
from nodeagent.errors import InvalidConfiguration

POSTBOOTSCRIPT = "nodeagent-boot"
POSTINSTALL = "nodeagent.postinstall"
SYNCLIST = "nodeagent.synclist"
ON_THE_NODE = Path("/run/nodeagent.password")  # password.file of the configuration, by default

HEADER = "# <xCAT data object stanza file>\n\n"
_IMAGE = re.compile(r"(?P<osvers>[^-]+)-(?P<osarch>[^-]+)-(?P<provmethod>netboot|statelite)-(?P<profile>.+)")
_UNFIT = re.compile(r"[^\w@%+=:./-]", re.ASCII)


def entries(*, password: str, synclist: Path | None, instead: Collection[str]) -> Sequence[Entry]:
    """What an osimage's definition needs; ``password`` is empty where it comes to the node in another way.

    Raises:
        InvalidConfiguration: xCAT would take the password apart on its way to the script.
    """
    if _UNFIT.search(password):
        raise InvalidConfiguration(
            "the password has a character that xCAT or its shell would take for something else: use letters, digits "
            "and @%+=:./_- only, or keep it out of the definition with --secret"
        )
    script = f"{POSTBOOTSCRIPT} {password}".rstrip()
    found = [Entry(attribute="postbootscripts", text=script, instead=instead)]
    if synclist is not None:
        found.append(Entry(attribute="synclists", text=str(synclist)))
    return found


def definition(name: str, entries: Sequence[Entry]) -> str:
    """The stanza of a netboot osimage that is not there yet, as in the guide.

    Raises:
        InvalidConfiguration: the name does not tell what xCAT needs to know.
    """
    match = _IMAGE.fullmatch(name)
    if match is None:
        raise InvalidConfiguration(
            f"{name}: a new osimage is named OSVERS-ARCH-netboot-PROFILE, as copycds does "
            "(rocky8.4-x86_64-netboot-compute); pipe one that is there through: lsdef -t osimage -l -z NAME | "
            "nodeagent enroll xcat --stanza -"
        )
    attributes = {
        "objtype": "osimage",
        "imagetype": "linux",
        "osarch": match["osarch"],
        "osname": "Linux",
        "osvers": match["osvers"],
        "permission": "755",
        "profile": match["profile"],
        "provmethod": match["provmethod"],
        "rootimgdir": f"/install/netboot/{match['osvers']}/{match['osarch']}/{match['profile']}",
    }
    lines = "".join(f"    {key}={value}\n" for key, value in attributes.items())
    return with_entries(f"{HEADER}{name}:\n{lines}", entries)


def postbootscript(*, timeout: float) -> File:
    """It waits so many seconds for the node to be configured."""
    text = _program("postbootscript.sh").replace("@TIMEOUT@", f"{timeout:g}")
    return _file(POSTBOOTSCRIPT, text, 0o755)


def postinstall() -> File:
    return _file(POSTINSTALL, _program("postinstall.sh"), 0o755)


def synclist(password_at: Path) -> File:
    """Brings that file of the management node to the nodes, over ssh and with its mode."""
    return _file(SYNCLIST, f"# {MARK} xcat`, which also replaces it.\n{password_at} -> {ON_THE_NODE}\n", 0o644)


def _file(name: str, text: str, mode: int) -> File:
    return File(path=PurePosixPath(name), content=text.encode(), mode=mode, marked=True)


def _program(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text()
