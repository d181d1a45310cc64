"""WHEN: the resident process. It waits, wakes its workers, listens to signals, and never blocks.

SIGHUP reads the configuration again and polls at once. SIGTERM and SIGINT end everything within 5 s: workers are asked,
then killed. A configuration that post.sh itself has changed is taken once, for the cycles to come.
"""

import contextlib
import gc
import os
import selectors
import signal
import time
from collections.abc import Iterator
from typing import Protocol

from nodeagent.daemon.cycle import Cycle, Plan
from nodeagent.errors import InvalidConfiguration
from nodeagent.model.outcomes import Failure
from nodeagent.report import notify
from nodeagent.report.board import Board
from nodeagent.workers.worker import Worker

FAREWELL = 4.0
"""Seconds that workers have to end when the service stops; then they are killed."""
_LAST = 0.5  # seconds more for the kernel to end what was killed; then the daemon leaves without it
_NEVER = float("inf")


class Setup(Protocol):
    """Where plans come from."""

    def load(self) -> Plan:
        """The plan of the configuration as it is now.

        Raises:
            InvalidConfiguration: it cannot be taken.
        """

    def changed(self) -> bool:
        """Whether the configuration is another than the one that was loaded, or refused, last."""


class Daemon:
    """The main loop.

    Args:
        plan: what to do first.
        setup: where to get another plan.
        board: who is told.
    """

    def __init__(self, plan: Plan, setup: Setup, board: Board) -> None:
        self._setup = setup
        self._board = board
        self._selector = selectors.DefaultSelector()
        self._cycle = Cycle(plan, board, self._selector)
        self._beat = notify.watchdog_interval()
        self._beat_at = time.monotonic() if self._beat is not None else _NEVER  # by the monotonic clock, as the others
        self._tick_at = _NEVER
        self._leave_at = _NEVER

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        gc.collect()
        gc.freeze()  # a collection in a forked child would touch, and so copy, every page that the parent has
        with self._selector, _signals() as signals:
            self._selector.register(signals, selectors.EVENT_READ)
            self._tick()
            self._board.publish()
            notify.ready(self._board.line)
            while not self._over():
                self._turn(signals)

    @property
    def _stopping(self) -> bool:
        return self._leave_at != _NEVER

    def _over(self) -> bool:
        return self._stopping and (self._cycle.idle or time.monotonic() >= self._leave_at)

    def _turn(self, signals: int) -> None:
        """Wait for whatever comes first, and see to it."""
        first = min(self._cycle.deadline, self._tick_at, self._beat_at, self._leave_at)
        for key, _ in self._selector.select(max(0.0, first - time.monotonic())):
            if isinstance(key.fileobj, Worker):
                self._hear(key.fileobj)
            else:
                for number in os.read(signals, 64):
                    self._signal(number)
        now = time.monotonic()
        if self._beat is not None and now >= self._beat_at:
            self._beat_at = now + self._beat
            notify.watchdog()
        if now >= self._tick_at:
            self._tick()
        if now >= self._cycle.deadline:
            self._cycle.expire()
        if not self._stopping:
            self._board.publish()

    def _tick(self) -> None:
        self._schedule()
        self._board.publish()  # before the fork: every page of memory that is written after it has to be copied
        self._cycle.begin()

    def _schedule(self) -> None:
        wall = time.time()
        delay = self._cycle.plan.schedule.delay(wall)
        self._tick_at = time.monotonic() + delay
        self._board.scheduled(wall + delay)

    def _hear(self, subject: Worker) -> None:
        applied = self._cycle.advance(subject)
        if applied and not self._stopping and self._setup.changed():
            self._load()  # for the next cycle: at once would be for ever, if each run of post.sh writes it anew

    def _signal(self, number: int) -> None:
        if self._stopping:
            return
        if number == signal.SIGHUP:
            self._reload()
        elif number in {signal.SIGTERM, signal.SIGINT}:
            notify.stopping()
            self._tick_at = _NEVER
            self._leave_at = time.monotonic() + FAREWELL + _LAST
            self._cycle.stop(FAREWELL)

    def _reload(self) -> None:
        notify.reloading()
        self._load()
        self._schedule()
        self._cycle.renew()
        self._board.publish()
        notify.ready(self._board.line)

    def _load(self) -> None:
        """Take the configuration as it is now, or keep the old one and say so."""
        try:
            self._cycle.plan = self._setup.load()
        except InvalidConfiguration as error:
            message = f"{error}; the configuration from before stays in force"
            self._board.reloaded(Failure(code=error.code, message=message, transient=False))
        else:
            self._board.reloaded(None)
            self._board.url = self._cycle.plan.url
            self._board.all_steps = self._cycle.plan.ready_needs_all


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """A descriptor on which the numbers of the signals that came can be read, a byte each."""
    receiver, sender = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    handlers = {n: signal.signal(n, lambda *_: None) for n in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)}
    before = signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    try:
        yield receiver
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(receiver)
        os.close(sender)
