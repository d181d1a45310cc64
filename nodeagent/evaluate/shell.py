"""Drive the shell: answer what an instrumented program asks, and keep its output and its time limits."""

import enum
import os
import select
import selectors
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nodeagent.evaluate.pipes import Pipes, at_end
from nodeagent.evaluate.stand import Stand

_TRAILER = 4  # directory, umask, open texts, what the name resolves to
_REQUEST_LIMIT = 8 * 2**20
_LINE_LIMIT = 48 * 1024
_PIPE_CAPACITY = 64 * 1024  # what a pipe holds: one read of as much empties it
_TICK = 0.2  # seconds between looks at the stop event and the limits
_GRACE = 2.0  # seconds between SIGTERM and SIGKILL
_LINGER = 2.0  # seconds that a process beside the shell has for the rest of its text
_TURN = 3.0  # seconds after which whoever has taken the turn must have been killed


class Handler(Protocol):
    """Does what the program asks for. Texts that are returned must be one line."""

    def request(self, words: list[str], stand: Stand) -> str: ...
    def output(self, line: str) -> None: ...
    def expired(self, now: float) -> bool:
        """Has the step that is under way, at this monotonic time, used up what it may take?"""

    def waits(self) -> bool:
        """Is there a process beside the shell in the middle of a text?"""

    def started(self) -> int:
        """When the step under way began (the unit is the process's business)."""


class Running(Protocol):
    """A started program; see apply/process.py."""

    pid: int
    descriptor: int

    def poll(self) -> int | None:
        """Its exit status, None while it runs. Called again and again: it also collects what has been orphaned."""

    def signal(self, number: int) -> None: ...


class End(enum.Enum):
    EXITED = "exited"
    STOPPED = "stopped"  # the agent was told to stop
    EXPIRED = "expired"  # a time limit that only the shell's own end could keep
    REFUSED = "refused"  # it was about to read a file that cannot be followed


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    exit_status: int
    end: End


class Driver:
    """One run of a program, from its start to ``waitpid`` (never to the end of a pipe: daemons inherit those)."""

    def __init__(
        self,
        process: Running,
        *,
        handler: Handler,
        output: int,
        pipes: Pipes | None,
        files: Callable[[list[str], Stand], bool],
        stop: threading.Event,
        deadline: float,
        kill_step: Callable[[int, int], int],
    ) -> None:
        """Take charge of a program that has been started.

        Args:
            process: the program.
            handler: answers its requests.
            output: the read end of what the program writes.
            pipes: None for a program that runs whole, without verbs.
            files: sees each request first; true where it was one about the program's files, which has no answer.
            stop: ends it early.
            deadline: of the evaluation, on the monotonic clock.
            kill_step: sends a signal to all processes of a step that began at a time; returns how many there were.
        """
        self._process = process
        self._handler = handler
        self._output = output
        self._pipes = pipes
        self._files = files
        self._stop = stop
        self._deadline = deadline
        self._kill_step = kill_step
        self._requests = bytearray()
        self._line = bytearray()
        self._killed_at = 0.0
        self._killed_step: int | None = None
        self._end = End.EXITED
        self._turn_taken: float | None = None

    def run(self) -> Ended:
        os.set_blocking(self._output, False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.descriptor, selectors.EVENT_READ)
            selector.register(self._output, selectors.EVENT_READ)
            if self._pipes is not None:
                selector.register(self._pipes.request, selectors.EVENT_READ)
            status: int | None = None
            look_at = 0.0
            while status is None:
                ready = {key.fd for key, _ in selector.select(_TICK)}
                if self._output in ready and not self._drain():
                    selector.unregister(self._output)
                if self._pipes is not None and self._pipes.request in ready:
                    self._answer(self._pipes)
                now = time.monotonic()
                if self._process.descriptor in ready or now >= look_at:
                    status, look_at = self._process.poll(), now + _TICK
                self._enforce(now)
                self._watch_turn(now)
        self._linger()
        self._drain()
        self._flush()
        return Ended(exit_status=status, end=self._end)

    def _linger(self) -> None:
        """The shell has ended: jobs that it left end the text that they are in."""
        until = time.monotonic() + _LINGER
        while self._pipes is not None and self._end is End.EXITED and self._handler.waits():
            remaining = until - time.monotonic()
            if remaining <= 0:
                return
            if select.select([self._pipes.request], [], [], min(remaining, _TICK))[0]:
                self._answer(self._pipes)

    # --- requests ---

    def _watch_turn(self, now: float) -> None:
        """Give the turn to somebody else when whoever has it was killed."""
        if self._pipes is None or self._pipes.is_given():
            self._turn_taken = None
        elif self._turn_taken is None:
            self._turn_taken = now
        elif now - self._turn_taken > _TURN:
            self._requests.clear()  # of a request, the part that it wrote
            self._turn_taken = None
            self._pipes.give_turn()

    def _answer(self, pipes: Pipes) -> None:
        self._requests += os.read(pipes.request, 65536)
        while (found := self._next_request()) is not None:
            words, stand = found
            self._drain()  # what a step wrote belongs to it, not to the next
            if words[0] in {"ok", "ran"}:
                self._flush()
            reply = "" if self._files(words, stand) else self._handler.request(words, stand)
            self._turn_taken = None
            at_end(pipes.answer)  # the answer to a subshell that was killed before it read it
            os.write(pipes.answer, os.fsencode(reply) + b"\n")
        if len(self._requests) > _REQUEST_LIMIT:
            raise ValueError("post.sh sent a request that is too long")

    def _next_request(self) -> tuple[list[str], Stand] | None:
        head, separator, _ = self._requests.partition(b"\0")
        if not separator:
            return None
        count = int(head)
        fields = self._requests.split(b"\0", 1 + count + _TRAILER)
        if len(fields) <= 1 + count + _TRAILER:
            return None
        self._requests = fields.pop()
        cwd, umask, texts, resolved = (field.removesuffix(b"\n") for field in fields[1 + count :])
        words = [os.fsdecode(bytes(field)) for field in fields[1 : 1 + count]]
        return words, Stand(
            cwd=os.fsdecode(bytes(cwd)),
            umask=int(umask or b"022", 8),
            resolved=os.fsdecode(bytes(resolved)),
            texts=tuple(int(number) for number in reversed(texts.split())),
        )

    # --- output ---

    def _drain(self) -> bool:
        """Pass on what is there now, and not what a flood adds meanwhile; false at the end of the pipe."""
        try:
            data = os.read(self._output, _PIPE_CAPACITY)
        except BlockingIOError:
            return True
        self._line += data
        *lines, rest = self._line.split(b"\n")
        self._line = bytearray(rest)
        for line in lines:
            self._emit(line)
        if len(self._line) > _LINE_LIMIT:
            self._flush()
        return bool(data)

    def _flush(self) -> None:
        if self._line:
            self._emit(self._line)
            self._line = bytearray()

    def _emit(self, line: bytes | bytearray) -> None:
        for start in range(0, max(len(line), 1), _LINE_LIMIT):
            self._handler.output(bytes(line[start : start + _LINE_LIMIT]).decode(errors="backslashreplace"))

    # --- limits ---

    def _enforce(self, now: float) -> None:
        """Stop, the evaluation's limit, and the step's limit: first what the shell waits for, then the shell itself."""
        if self._end is End.EXITED and (self._stop.is_set() or now >= self._deadline):
            self._end = End.STOPPED if self._stop.is_set() else End.EXPIRED
            self._killed_at = now
            self._process.signal(15)
            self._kill_step(15, self._handler.started())
        elif self._end is not End.EXITED:
            if now - self._killed_at >= _GRACE:
                self._kill_step(9, self._handler.started())
                self._process.signal(9)
        elif self._handler.expired(now):
            self._expire_step(now)

    def _expire_step(self, now: float) -> None:
        step = self._handler.started()
        if self._killed_step != step:
            self._killed_step, self._killed_at = step, now
            alone = self._kill_step(15, step) == 0
        elif now - self._killed_at >= _GRACE:
            alone = self._kill_step(9, step) == 0
        else:
            return
        if alone:  # the step is code of the shell itself: only the shell's end ends it
            self._end = End.EXPIRED
            self._process.signal(9)
