"""What the daemon tells the service manager (``sd_notify(3)``), and what that asks of it.

Without a service manager (no NOTIFY_SOCKET) nothing is said, and nothing goes wrong.
"""

import contextlib
import os
import time

from systemd.daemon import notify  # noqa: TID251 - the door


def ready(status: str) -> None:
    """The daemon is up, or up again after :func:`reloading`."""
    _tell("READY=1", f"STATUS={_line(status)}")


def status(text: str) -> None:
    """The line that ``systemctl status`` shows."""
    _tell(f"STATUS={_line(text)}")


def reloading() -> None:
    """The configuration is being read again; :func:`ready` ends it."""
    _tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping() -> None:
    _tell("STOPPING=1", "STATUS=stopping")


def watchdog() -> None:
    """The main loop is alive."""
    _tell("WATCHDOG=1")


def watchdog_interval() -> float | None:
    """Seconds between two signs of life: half of what the manager waits; None: it asks for none.

    The variables are those of ``sd_watchdog_enabled(3)``.
    """
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return microseconds / 2e6 if microseconds > 0 else None


def _tell(*assignments: str) -> None:
    with contextlib.suppress(OSError):  # the manager is being re-executed, or gone: it will ask if it wants to know
        notify("\n".join(assignments))


def _line(text: str) -> str:
    return " ".join(text.split())
