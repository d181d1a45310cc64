"""A git server that speaks HTTPS, on loopback: ``git http-backend`` behind Python's own HTTP server; its authorities.

What a test wants to go wrong is said by the attributes of :class:`WebServer`, at any time.
"""

import base64
import datetime
import http.server
import ipaddress
import os
import ssl
import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
import threading
from pathlib import Path
from typing import Self

from cryptography import x509  # noqa: TID251 - a harness makes certificates; the product only reads them
from cryptography.hazmat.primitives import hashes, serialization  # noqa: TID251 - see above
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: TID251 - see above

_DAY = datetime.timedelta(days=1)


class Authority:
    """A throwaway certificate authority; ``file`` is what those who trust it are given."""

    def __init__(self, directory: Path, name: str = "Site Authority") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _called(name)
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            _begun(self._name, self._key.public_key(), now - 400 * _DAY, now + 400 * _DAY)
            .issuer_name(self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = directory / "ca.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def certify(self, *names: str, first: int = -1, last: int = 30) -> Path:
        """A file with key and certificate for the host names or addresses, valid between so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            _begun(_called(names[0]), key.public_key(), now + first * _DAY, now + last * _DAY)
            .issuer_name(self._name)
            .add_extension(x509.SubjectAlternativeName(list(map(_name, names))), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        file = self._directory / f"{names[0]}.{first}.{last}.pem"
        file.touch(mode=0o600)
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return file


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _begun(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, first: datetime.datetime, last: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(last)
    )


class WebServer:
    """Serves the bare repositories below ``top`` by git's smart HTTP while it is entered.

    ``login`` is (user, password) whom it wants to see; ``status`` an error with which it answers all requests;
    ``location`` the address to which it sends everybody, ``moved`` (path, other path) a place of its own. ``requests``
    are those that came, as (path, Authorization).
    """

    def __init__(self, top: Path, certificate: Path | None, *, login: tuple[str, str] | None = None) -> None:
        self.login = login
        self.status = 0
        self.location = ""
        self.moved = ("", "")
        self.requests: list[tuple[str, str | None]] = []
        self.top = top
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.scheme = "http" if certificate is None else "https"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake is made by the connection's own thread, at its first read.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def url(self, repository: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}/{repository}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(site: WebServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

        def handle(self) -> None:
            try:
                super().handle()
            except (ssl.SSLError, ConnectionError):  # the client did not like the certificate
                self.close_connection = True

        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            self._serve(self._body())

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", "0")))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _serve(self, body: bytes) -> None:
            seen = self.headers.get("Authorization")
            site.requests.append((self.path, seen))
            if site.location:
                self._answer(302, {"Location": site.location + self.path})
            elif site.moved[0] and self.path.startswith(site.moved[0]):
                self._answer(302, {"Location": self.path.replace(*site.moved, 1)})
            elif site.status:
                self._answer(site.status, {})
            elif site.login and seen != _basic(*site.login):
                self._answer(401, {"WWW-Authenticate": 'Basic realm="git"'})
            else:
                self._run(body)

        def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def _run(self, body: bytes) -> None:
            path, _, query = self.path.partition("?")
            environment = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(site.top),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_NOSYSTEM": "1",
                "HOME": "/nonexistent",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self._answer(int(headers.pop("Status", "200").split()[0]), headers, content)

    return Handler


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
