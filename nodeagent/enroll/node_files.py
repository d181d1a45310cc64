"""What a node needs below ``/etc/nodeagent``, from a directory in which an administrator keeps it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nodeagent.config import DEFAULT_FILE, Config, load
from nodeagent.enroll.placing import File
from nodeagent.errors import InvalidConfiguration, KeyFileInvalid
from nodeagent.model.address import Ssh, parse

CONFIGURATION, KNOWN_HOSTS, KEY = "nodeagent.toml", "known_hosts", "key.enc"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFiles:
    """``files`` are relative to the node's root."""

    config: Config
    files: Sequence[File]


def read(directory: Path) -> NodeFiles:
    """Read ``nodeagent.toml`` with its drop-ins, ``known_hosts`` and ``key.enc``.

    The latter two go where the configuration looks for them, and so do the files that ``[signatures]`` names. Where it
    holds host keys itself, there may be no ``known_hosts``; where no server is asked by SSH, neither of the two. The
    file of ``source.ca_file`` goes with them if it is there; else the node has it.

    Raises:
        InvalidConfiguration: a file is missing, or the configuration is none.
        KeyFileInvalid: the key is not encrypted.
    """
    config = load(directory / CONFIGURATION)
    parts = [directory / CONFIGURATION, *sorted((directory / f"{CONFIGURATION}.d").glob("*.toml"))]
    files = [_file(DEFAULT_FILE.parent / part.relative_to(directory), _read(part), 0o644) for part in parts]
    servers = [parse(url) for url in config.source.urls]
    by_ssh = any(isinstance(server, Ssh) for server in servers)
    if (by_ssh and not config.source.host_keys) or (directory / KNOWN_HOSTS).exists():
        files.append(_file(config.source.known_hosts, _read(directory / KNOWN_HOSTS), 0o644))
    if by_ssh or (directory / KEY).exists():
        key = _read(directory / KEY)
        if b"PRIVATE KEY" in key:
            raise KeyFileInvalid(f"{directory / KEY}: the key is not encrypted: nodeagent key encrypt does that")
        files.append(_file(config.source.key, key, 0o600))
    if (authorities := _ca_file(directory, config)) is not None and config.source.ca_file is not None:
        files.append(_file(config.source.ca_file, _read(authorities), 0o644))
    files += [_file(path, _read(directory / path.name), 0o644) for path in config.signatures.files.values()]
    return NodeFiles(config=config, files=files)


def local(directory: Path) -> Config:
    """The configuration of the directory, with the other files as they lie there: to try them before a node has them.

    Raises:
        InvalidConfiguration: the configuration is none.
    """
    config = load(directory / CONFIGURATION)
    here = {"key": directory.absolute() / KEY, "known_hosts": directory.absolute() / KNOWN_HOSTS}
    source = config.source.model_copy(update={**here, "ca_file": _ca_file(directory, config) or config.source.ca_file})
    signers = {name: directory.absolute() / path.name for name, path in config.signatures.files.items()}
    return config.model_copy(update={"source": source, "signatures": config.signatures.model_copy(update=signers)})


def _ca_file(directory: Path, config: Config) -> Path | None:
    wanted = config.source.ca_file
    return here if wanted is not None and (here := directory.absolute() / wanted.name).exists() else None


def _file(path: Path, content: bytes, mode: int) -> File:
    return File(path=PurePosixPath(path).relative_to("/"), content=content, mode=mode)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidConfiguration(f"{path}: cannot be read: {error.strerror}: a node needs it") from error
