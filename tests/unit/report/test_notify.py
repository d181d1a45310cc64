"""A real socket in the service manager's place."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.report import notify


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def heard(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().splitlines()


def test_ready_says_so_with_a_status_of_one_line(manager: socket.socket) -> None:
    notify.ready("all\n well\33")
    assert heard(manager) == ["READY=1", "STATUS=all well\33"]


def test_the_other_messages_are_those_of_sd_notify(manager: socket.socket) -> None:
    notify.status("s")
    assert heard(manager) == ["STATUS=s"]
    notify.watchdog()
    assert heard(manager) == ["WATCHDOG=1"]
    notify.stopping()
    assert heard(manager) == ["STOPPING=1", "STATUS=stopping"]
    notify.reloading()
    first, second = heard(manager)
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0


def test_no_manager_and_a_manager_that_is_gone_are_no_trouble(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify.ready("s")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify.ready("s")


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("30000000", None, 15.0),
        ("30000000", "self", 15.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("x", None, None),
        (None, None, None),
    ],
)
def test_signs_of_life_come_twice_as_often_as_the_manager_asks(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, seconds: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", str(os.getpid()) if pid == "self" else pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert notify.watchdog_interval() == seconds
