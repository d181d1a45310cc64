"""Whether a systemd credential of the service is on its way, and whether others can read it on that way.

The agent sees only what systemd hands it, not where that came from; these are the places of systemd.exec(5).
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from nodeagent.source import storage

_PLAIN = ("etc/credstore", "run/credstore", "usr/lib/credstore")
_OTHERS = (*(f"{store}.encrypted" for store in _PLAIN), "run/credentials/@system", "run/credentials/@encrypted")
_UNITS = ("etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system")
_MEND = "encrypt it (nodeagent enroll systemd does), or let the VM or container manager bring it"


def is_there(name: str, root: Path = Path("/")) -> bool:
    """Is the credential in one of systemd's stores, or named by a drop-in of the service?"""
    if any((root / store / name).exists() for store in (*_PLAIN, *_OTHERS)):
        return True
    setting = re.compile(rf"^(?:Load|Set)Credential(?:Encrypted)?\s*=\s*{re.escape(name)}:", re.M)
    return any(setting.search(text) for _, text in _drop_ins(root))


def problems(name: str, root: Path = Path("/")) -> Iterator[str]:
    """Where others than root can read the credential, or a disk keeps it in clear."""
    setting = re.compile(rf"^SetCredential\s*=\s*{re.escape(name)}:", re.M)
    for path, text in _drop_ins(root):
        if setting.search(text):
            yield f"{path}: SetCredential={name}: every user can ask systemd for it over D-Bus: {_MEND}"
    argument = re.compile(rf"(?:^|\s)systemd\.set_credential(?:_binary)?={re.escape(name)}:")
    if argument.search((root / "proc/cmdline").read_text(errors="replace")):
        yield f"the kernel's command line has {name}: every user can read it in /proc/cmdline: {_MEND}"
    for path in (root / store / name for store in _PLAIN):
        try:
            found = path.stat()
        except OSError:
            continue
        if found.st_uid not in {0, os.geteuid()} or found.st_mode & 0o077:
            mode = stat.S_IMODE(found.st_mode)
            yield f"{path}: others can read it (user {found.st_uid}, mode {mode:04o}): chown root, chmod 0400"
        elif not storage.is_memory(path):
            yield f"{path}: lies on a disk, which would keep the secret: {_MEND}"


def _drop_ins(root: Path) -> Iterator[tuple[Path, str]]:
    for directory in _UNITS:
        below = root / directory
        for path in (below / "nodeagent.service", *sorted(below.glob("nodeagent.service.d/*.conf"))):
            try:
                yield path, path.read_text(errors="replace")
            except OSError:
                continue  # not there; or not ours to read, and then others cannot either
