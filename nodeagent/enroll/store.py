"""Where a site keeps the password of the key file, and how it comes from there to where xCAT takes it.

None of these puts it into a definition, an argument or an environment: what is printed are commands and manifests in
which only the names of files stand.
"""

import enum
from dataclasses import dataclass
from pathlib import Path

MEMORY = Path("/run/nodeagent.password")  # on the management node
_MOUNTED = Path("/run/secrets/nodeagent/password")  # in xCAT's pod


class Store(enum.Enum):
    """The value is the command line's word."""

    ARGUMENT = "argument"
    FILE = "file"
    PROMPT = "prompt"
    VAULT = "vault"
    KUBERNETES = "kubernetes"
    SEALED_SECRET = "sealed-secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """``password_at`` is where the management node has the password; None: in the definition itself."""

    password_at: Path | None
    text: str


_FILE = """\
Put the password on the management node, for root alone; FILE holds it now:
  install -D -m 0600 FILE /etc/nodeagent/secrets/password
"""
_PROMPT = """\
Type the password on the management node, again after each of its reboots; it is kept in memory only:
  systemd-ask-password "Password of the nodes' deploy key:" | (umask 077 && cat >/run/nodeagent.password)
"""
_VAULT = """\
Put the password into Vault once; FILE holds it now:
  vault kv put -mount=secret nodeagent password=@FILE
Fetch it on the management node, again after each of its reboots; it is kept in memory only:
  (umask 077 && vault kv get -mount=secret -field=password nodeagent >/run/nodeagent.password)
"""
_MOUNT = """\
Mount it into xCAT's pod:
  volumes:
    - name: nodeagent-password
      secret:
        secretName: nodeagent-password
        defaultMode: 0400
  volumeMounts:
    - name: nodeagent-password
      mountPath: /run/secrets/nodeagent
      readOnly: true
"""
_KUBERNETES = f"""\
Make a Secret of it, in the namespace of xCAT; FILE holds the password now:
  kubectl create secret generic nodeagent-password --namespace xcat --from-file=password=FILE
{_MOUNT}"""
_SEALED_SECRET = f"""\
Seal it for the namespace of xCAT, and commit the sealed one; FILE holds the password now:
  kubectl create secret generic nodeagent-password --namespace xcat --from-file=password=FILE --dry-run=client -o yaml |
    kubeseal --format yaml >nodeagent-password.sealed.yaml
{_MOUNT}"""
_ARGUMENT = """\
The password stands in the osimage: whoever may run lsdef reads it, and so does whoever fetches a node's
mypostscript from the management node's web server. --secret keeps it out.
"""

_BY_STORE = {
    Store.ARGUMENT: Instructions(password_at=None, text=_ARGUMENT),
    Store.FILE: Instructions(password_at=Path("/etc/nodeagent/secrets/password"), text=_FILE),
    Store.PROMPT: Instructions(password_at=MEMORY, text=_PROMPT),
    Store.VAULT: Instructions(password_at=MEMORY, text=_VAULT),
    Store.KUBERNETES: Instructions(password_at=_MOUNTED, text=_KUBERNETES),
    Store.SEALED_SECRET: Instructions(password_at=_MOUNTED, text=_SEALED_SECRET),
}


def instructions(store: Store) -> Instructions:
    return _BY_STORE[store]
