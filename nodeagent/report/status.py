"""``status.json``: what the daemon knows, for whoever asks; written by rename, read by anybody, no secret in it."""

import functools
import json
import os
import time
from pathlib import Path
from typing import Any

from nodeagent.model.outcomes import Condition, ConditionType, Mode, Status

FILE = "status.json"
SCHEMA = 1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def to_json(status: Status) -> dict[str, Any]:
    """The layout that scripts may rely on (``status --json``)."""
    return {
        "schema": SCHEMA,
        "version": status.version,
        "mode": status.mode,
        "url": status.url,
        "revision": {"attempted": status.attempted, "applied": status.applied},
        "conditions": [
            {
                "type": condition.type,
                "status": str(condition.status),  # "True" or "False", as Flux and kstatus print it
                "reason": condition.reason,
                "message": condition.message,
                "since": condition.since,
            }
            for condition in status.conditions
        ],
        "failed": list(status.failed_steps),
        "pending": list(status.pending),
        "destinations": status.destinations,
        "remarks": list(status.remarks),
        "next_poll": status.next_poll,
        "last_poll": status.last_poll,
        "last_beacon": status.last_beacon,
    }


def write(directory: Path, status: Status) -> None:
    """Replace the file of the directory.

    Raises:
        OSError: the directory does not take it.
    """
    text = json.dumps({**to_json(status), "boot_id": _boot_id()}) + "\n"
    temporary = f"{directory}/.{FILE}.new"  # there is one daemon, and nobody else may write here
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        with open(descriptor, "wb") as file:
            file.write(text.encode("ascii"))
            os.fchmod(descriptor, 0o644)
        os.rename(temporary, f"{directory}/{FILE}")
    except BaseException:
        os.unlink(temporary)
        raise


def read(directory: Path) -> Status | None:
    """What the last daemon of this boot wrote; None: there is nothing of this boot and schema.

    Raises:
        OSError: there is something that cannot be read.
    """
    try:
        raw = json.loads((directory / FILE).read_bytes())
        if raw["schema"] != SCHEMA or raw["boot_id"] != _boot_id():
            return None
        return _from_json(raw)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def line(status: Status) -> str:
    """The whole status in one line, for ``systemctl status``: revision, conditions, pending, next poll."""
    parts = [status.applied or "nothing applied yet"]
    if status.attempted not in {status.applied, ""}:
        parts.append(f"attempted {status.attempted}")
    for condition in status.conditions:
        if condition.type is ConditionType.READY:
            parts.append("Ready" if condition.status else f"not Ready ({condition.reason})")
        else:
            parts.append(f"{condition.type} ({condition.reason}: {condition.message[:200]})")
    if status.failed_steps:
        parts.append(f"{len(status.failed_steps)} failed")
    if status.pending:
        parts.append(f"{len(status.pending)} pending")
    if status.next_poll is not None:
        parts.append(f"next poll {time.strftime('%H:%M:%S', time.localtime(status.next_poll))}")
    return "; ".join(parts)


def _from_json(raw: dict[str, Any]) -> Status:
    return Status(
        version=raw["version"],
        mode=Mode(raw["mode"]),
        url=raw["url"],
        attempted=raw["revision"]["attempted"],
        applied=raw["revision"]["applied"],
        conditions=tuple(
            Condition(
                type=ConditionType(c["type"]),
                status=c["status"] == "True",
                reason=c["reason"],
                message=c["message"],
                since=c["since"],
            )
            for c in raw["conditions"]
        ),
        failed_steps=tuple(raw["failed"]),
        pending=tuple(raw["pending"]),
        destinations=raw["destinations"],
        remarks=tuple(raw["remarks"]),
        next_poll=raw["next_poll"],
        last_poll=raw.get("last_poll"),  # from a daemon that did not know it yet
        last_beacon=raw.get("last_beacon"),
    )


@functools.cache
def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()
