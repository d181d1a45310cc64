"""``nodeagent enroll``: bring nodeagent to nodes, by what boots them."""

import argparse
import os
import sys
from pathlib import Path, PurePosixPath

from nodeagent.apply.process import convert
from nodeagent.cli import enroll_xcat, password
from nodeagent.cli.enroll_xcat import add_timeout
from nodeagent.config import DEFAULT_FILE
from nodeagent.enroll import cloud_init, credential, node_files
from nodeagent.enroll.credential import SealedBy
from nodeagent.enroll.placing import File, place
from nodeagent.errors import HostKeyUnknown, InvalidConfiguration, PasswordUnavailable
from nodeagent.model import address
from nodeagent.source.remote import known_hosts
from nodeagent.source.remote.access import wants_key
from nodeagent.source.secrets import deploy_key

_CREDS_LIMIT = 60.0  # seconds; a TPM takes its time
_BY_CREDENTIAL = """\
The password is not in it. Give the machine the systemd credential {name}, for QEMU say
  -smbios type=11,path=FILE     with io.systemd.credential:{name}=PASSWORD in FILE
or put it into {file} (root-only) before nodeagent starts."""
_TOKEN = """\
No token is in it. If the server asks for one, give the machine the systemd credential {name},
or put it into {file} (root-only) before nodeagent starts."""
_IN_USER_DATA = """\
The password stands in the user-data, beside the key that it opens: whoever reads the user-data (the instance's users
by the metadata service, whoever administers the cloud) has the key. Without --password-file it is left out."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    enroll = subparsers.add_parser(
        "enroll",
        help="bring nodeagent to the nodes that xCAT or cloud-init boots, to this one, or into an image",
        description="Make what brings nodeagent and the key file's password to nodes.",
    )
    verbs = enroll.add_subparsers(metavar="WAY", required=True)
    enroll_xcat.add_parser(verbs)

    cloud = verbs.add_parser(
        "cloud-init",
        help="print user-data that configures and starts nodeagent",
        description="Print user-data for cloud-init: it writes configuration, host keys and encrypted key, starts "
        "nodeagent, and waits until the node is configured; if it is not, cloud-init's status is error. The image has "
        "nodeagent installed.",
    )
    _add_from(cloud)
    password.add_option(cloud, "without it, the password is not in the user-data")
    add_timeout(cloud, "then cloud-init's status is error")
    cloud.set_defaults(func=_cloud_init)

    systemd = verbs.add_parser(
        "systemd",
        help="keep the password on this node as an encrypted credential",
        description="On a node with a disk: encrypt the password so that only this machine opens it (systemd-creds, by "
        "the TPM2 where there is one), and write the drop-in that gives it to nodeagent.service. Needs systemd 250.",
    )
    password.add_option(systemd, required=True)
    systemd.add_argument(
        "--with-key",
        choices=[key.value for key in SealedBy],
        default=SealedBy.AUTO.value,
        help="what opens it, as systemd-creds has it; default: auto",
    )
    systemd.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="below which the files are written; default: /"
    )
    systemd.add_argument(
        "--credential", default="nodeagent.password", metavar="NAME", help="default: nodeagent.password, as configured"
    )
    systemd.set_defaults(func=_systemd)

    image = verbs.add_parser(
        "image",
        help="put configuration, host keys and encrypted key into an image",
        description="Copy nodeagent.toml (with nodeagent.toml.d), known_hosts and key.enc into the root of an image, "
        "with the modes that they need. No link in the image is followed. The password is not put there.",
    )
    image.add_argument("directory", type=Path, metavar="DIR", help="the root of the image; / is refused")
    _add_from(image)
    image.set_defaults(func=_image)


def _add_from(parser: argparse.ArgumentParser) -> None:
    default = DEFAULT_FILE.parent
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        default=default,
        metavar="DIR",
        help=f"has nodeagent.toml, known_hosts and key.enc; default: {default}",
    )


def _cloud_init(arguments: argparse.Namespace) -> int:
    found = _node_files(arguments.source)
    files = [*found.files]
    settings = found.config.password
    if not wants_key(found.config):
        if arguments.password_file is not None:
            raise InvalidConfiguration(
                "--password-file: no server of this configuration asks for the deploy key: give the machine the "
                f"password or token, if one is needed, as the systemd credential {found.config.login.credential}"
            )
        _say(_TOKEN.format(name=found.config.login.credential, file=found.config.login.file))
    elif arguments.password_file is not None:
        secret = password.new(arguments.password_file)
        deploy_key.open_file(node_files.local(arguments.source).source, secret)
        path = PurePosixPath(settings.file).relative_to("/")
        files.append(File(path=path, content=secret + b"\n", mode=0o600))
        _say(_IN_USER_DATA)
    else:
        _say(_BY_CREDENTIAL.format(name=settings.credential, file=settings.file))
    sys.stdout.write(cloud_init.user_data(files, timeout=arguments.timeout))
    return 0


def _systemd(arguments: argparse.Namespace) -> int:
    secret = password.new(arguments.password_file)
    name = arguments.credential
    if not name or set(name) & set("/:") or name.startswith("."):
        raise InvalidConfiguration(f"--credential {name}: a file's name without / and : is needed")
    command = credential.encryption(name, SealedBy(arguments.with_key))
    encrypted, said = convert(command, secret + b"\n", time_limit=_CREDS_LIMIT)
    if encrypted is None:
        raise PasswordUnavailable(
            f"systemd-creds: {said.strip() or 'failed'}: the password was not encrypted; before systemd 250, and on a "
            "node that forgets everything, use /run/nodeagent.password or a credential of the boot loader"
        )
    for file in credential.files(name, encrypted):
        _say(f"{place(arguments.root, file)}: written")
    _say("next: systemctl daemon-reload && systemctl restart nodeagent.service")
    return 0


def _image(arguments: argparse.Namespace) -> int:
    root = arguments.directory
    if not (root / "etc").is_dir():
        raise InvalidConfiguration(f"{root}: no root of an image: it has no directory etc")
    if os.path.samestat(root.stat(), Path("/").stat()):
        raise InvalidConfiguration(f"{root}: is the root of this machine: name the root of an image")
    for file in _node_files(arguments.source).files:
        _say(f"{place(root, file)}: written")
    return 0


def _node_files(directory: Path) -> node_files.NodeFiles:
    """What a node needs; a node that would refuse the server is none.

    Raises:
        InvalidConfiguration, KeyFileInvalid: see :func:`nodeagent.enroll.node_files.read`.
        HostKeyUnknown: the server's host key is not among the pinned ones.
    """
    found = node_files.read(directory)
    file = directory / node_files.KNOWN_HOSTS
    text = file.read_text(errors="replace") if file.exists() else ""
    lines = "\n".join([text, *found.config.source.host_keys])
    for server in map(address.parse, found.config.source.urls):
        if isinstance(server, address.Ssh) and not known_hosts.pinned(lines, server).keys:
            raise HostKeyUnknown(
                f"{file}: has no host key of {server}: run `ssh-keyscan -p {server.port} {server.host}` on a network "
                "that you trust, compare the fingerprint with the server's own (ssh-keygen -lf), and add the line"
            )
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - standard output is for what is asked for
