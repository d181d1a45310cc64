"""An HTTP proxy on loopback: it leads where CONNECT says, if it likes who comes."""

import base64
import contextlib
import socket
import socketserver
import threading
from typing import Self


class WebProxy:
    """``login`` is (user, password) whom it wants to see; ``status`` what it answers instead of leading anywhere.

    ``asked`` are the CONNECT requests that came, as (HOST:PORT, Proxy-Authorization).
    """

    def __init__(self, *, login: tuple[str, str] | None = None) -> None:
        self.login = login
        self.status = ""
        self.asked: list[tuple[str, str | None]] = []
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(proxy: WebProxy) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        timeout = 20

        def handle(self) -> None:
            while line := self.rfile.readline().decode():
                method, target, _ = line.split()
                headers = {}
                while (header := self.rfile.readline().decode().strip()) != "":
                    name, _, value = header.partition(": ")
                    headers[name.lower()] = value
                seen = headers.get("proxy-authorization")
                proxy.asked.append((target, seen))
                if method != "CONNECT" or proxy.status:
                    self._answer(proxy.status or "405 Method Not Allowed")
                elif proxy.login and seen != _basic(*proxy.login):
                    self._answer("407 Proxy Authentication Required", 'Proxy-Authenticate: Basic realm="proxy"\r\n')
                else:
                    self._lead(target)
                    return

        def _answer(self, status: str, header: str = "") -> None:
            self.wfile.write(f"HTTP/1.1 {status}\r\n{header}Content-Length: 0\r\n\r\n".encode())

        def _lead(self, target: str) -> None:
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port)), 10) as server:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pass_on, args=(server, self.connection))
                back.start()
                _pass_on(self.connection, server)
                back.join()

    return Handler


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
