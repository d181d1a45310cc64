"""A TCP proxy on loopback that fails as networks do: after as many bytes as the test says, in either direction."""

import asyncio
import contextlib
import enum
import random
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Self

_CHUNK = 65_536
_RESEND = 0.2  # seconds; TCP's shortest time until it sends a lost packet again, doubled each time
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # struct linger of <sys/socket.h>


class Way(enum.Enum):
    UP = "to the server"
    DOWN = "from the server"


class End(enum.Enum):
    """What becomes of a connection that has failed."""

    RESET = "both sides are told"
    CLOSE = "it ends as if the other side had hung up"
    SILENCE = "half open: nothing comes any more, and nobody is told"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How a connection fails: when ``after`` bytes (None: never) have passed in the direction ``way``.

    Each chunk of at most ``chunk`` bytes is ``delay`` seconds late. A share of ``loss`` of them has to be sent again,
    once or more often, as TCP does.
    """

    way: Way = Way.DOWN
    after: int | None = None
    end: End = End.RESET
    delay: float = 0.0
    chunk: int = _CHUNK
    loss: float = 0.0


SOUND = Fault()
_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Passes on what comes to ``port`` while it is entered.

    Each new connection takes the next of ``faults``; the last one serves all that come later. Assign new ones at will.
    """

    def __init__(self, server: int, *faults: Fault) -> None:
        self.faults = list(faults or (SOUND,))
        self.passed = dict.fromkeys(Way, 0)  # bytes, in the newest connection
        self.connections = 0
        self._server = server
        self._random = random.Random(server)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ending = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()))

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()

    async def _listen(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._connected, sock=self._listener)
        self._started.set()
        await self._ending.wait()
        server.close()  # and run() cancels what is left

    async def _connected(self, *client: *_Stream) -> None:
        self.connections += 1
        fault = self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]
        passed = self.passed = dict.fromkeys(Way, 0)
        writers = [client[1]]
        try:
            server = await asyncio.open_connection("127.0.0.1", self._server)
            writers.append(server[1])
            pumps = [
                asyncio.ensure_future(self._pump(fault, way, source, sink, passed))
                for way, source, sink in ((Way.UP, client[0], server[1]), (Way.DOWN, server[0], client[1]))
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            failed = fault.after is not None and passed[fault.way] >= fault.after
            if failed and fault.end is End.SILENCE:
                await self._ending.wait()
            for pump in pumps:
                pump.cancel()
            if failed and fault.end is not End.CLOSE:
                for writer in writers:
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
                    writer.transport.abort()
        finally:
            for writer in writers:
                writer.close()

    async def _pump(
        self, fault: Fault, way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter, passed: dict[Way, int]
    ) -> None:
        """Pass on one direction, until it ends or the fault comes."""
        left = fault.after if way is fault.way else None
        with contextlib.suppress(ConnectionError):
            while left != 0 and (chunk := await source.read(min(fault.chunk, left or _CHUNK))):
                await asyncio.sleep(self._late(fault))
                sink.write(chunk)
                await sink.drain()
                passed[way] += len(chunk)
                left = left and left - len(chunk)

    def _late(self, fault: Fault) -> float:
        late, again = fault.delay, _RESEND
        while self._random.random() < fault.loss:
            late += again
            again *= 2
        return late
