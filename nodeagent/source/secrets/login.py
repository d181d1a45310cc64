"""The password or token by which an HTTPS server, or a proxy, lets this node in: as the key file's password is kept."""

from pathlib import Path

from nodeagent.config import Login, ProxyLogin
from nodeagent.errors import PasswordUnavailable
from nodeagent.source.secrets import private_file
from nodeagent.source.secrets.password import LONGEST, first_line


def read_login(config: Login | ProxyLogin, credentials_directory: Path | None) -> str | None:
    """Read the first line of the systemd credential, else of the file; None when there is neither: few servers ask.

    libgit2 wants a ``str``, which Python does not overwrite: only a worker that soon ends may call this.

    Raises:
        PasswordUnavailable: what is there is empty, no text, or not private.
    """
    places = [(config.file, True)]
    if credentials_directory is not None:
        places.insert(0, (credentials_directory / config.credential, False))
    for path, in_memory in places:
        found = private_file.read(path, LONGEST + 1, in_memory=in_memory)
        if found is None:
            continue
        with found:
            if not first_line(found) or not len(found):
                raise PasswordUnavailable(f"{path}: is empty: its first line must be the password or token")
            try:
                # What comes by the clipboard of another system may end in CR; no token does.
                return bytes(found.view).decode().removesuffix("\r")
            except UnicodeDecodeError:
                raise PasswordUnavailable(f"{path}: its first line is no UTF-8 text") from None
    return None
