"""Which contents are never shown: the one rule, for whoever prints what is in a file."""

import re
import stat
from fnmatch import fnmatchcase

_NAMES = (
    "*key", "*key.*", "*.pem", "*.p12", "*.pfx", "*.jks", "*.keytab", "*.kdbx", "*.gpg", "id_*", "*shadow*", "*munge*",
    "*passw*", "*secret*", "*credential*", "*token*", ".netrc", ".pgpass", ".my.cnf", "sudoers*",
)  # fmt: skip
_CONTENTS = re.compile(
    rb"PRIVATE KEY"
    rb"|\bSalted__|\bU2FsdGVkX1"  # openssl enc, with and without base64
    rb"|\$(?:1|2[aby]|5|6|7|y|gy)\$[./A-Za-z0-9]"  # crypt(5)
    rb"|(?i:pass|passwd|password|passphrase|secret|authtok|token|api_?key|credentials?)[\"']?\s*[=:]\s*[\"']?[^\s\"']"
)
_LABELS = re.compile(rb"(?im)^\s*(?:passwd|password|shadow)\s*:\s*(?:[a-z_\[\]=! ]+)$")  # of nsswitch.conf(5)


def reason(path: str, mode: int, content: bytes) -> str:
    """Why the content of a file must not be shown; empty: it may be. ``mode`` as st_mode or the permission bits."""
    if not stat.S_IMODE(mode) & stat.S_IROTH:
        return "not everybody may read it"
    if any(fnmatchcase(name, pattern) for name in path.lower().split("/") for pattern in _NAMES):
        return "its name is that of a secret"
    if _CONTENTS.search(_LABELS.sub(b"", content)):
        return "it looks like a secret"
    return ""
