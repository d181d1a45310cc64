"""A filesystem that is really full: the node's own, ``/run/nodeagent``, or the ledger's."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from tests.crash import agent, invariants, trial, world

BALLAST = ".ballast"


def mount_at(place: Path) -> None:
    """A small tmpfs over the place, with what it holds."""
    kept = Path("/run/kept")
    place.mkdir(parents=True, exist_ok=True)
    shutil.copytree(place, kept, symlinks=True)
    agent.mount_tmpfs(place, size="8m")
    shutil.copytree(kept, place, symlinks=True, dirs_exist_ok=True)


def fill(place: Path) -> None:
    with open(place / BALLAST, "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def disturbed(place: Path) -> tuple[int, str, list[str]]:
    mount_at(place)
    assert agent.apply().status == 2
    world.advance()
    fill(place)
    full = agent.apply()
    os.unlink(place / BALLAST)
    left = invariants.interrupted(world.EXPECTATION)
    agent.apply()
    wrong = [*left.wrong, *invariants.finished(world.EXPECTATION, left)]
    third = agent.apply()
    return full.status, full.said, wrong if third.status == 0 else [*wrong, third.said]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("place", "status", "words"),
    [
        (world.ROOT, 6, "No space left on device"),
        (world.RUNTIME, 1, "nodeagent: /run/nodeagent/"),
        (world.LEDGER, 1, f"nodeagent: {world.LEDGER}/ledger.db: "),
    ],
    ids=["node", "runtime", "ledger"],
)
def test_what_a_full_filesystem_stopped_is_said_and_done_when_there_is_room(place, status, words):
    found = trial.in_a_world(lambda: disturbed(place))
    assert isinstance(found, tuple), found
    assert (found[0], found[2]) == (status, [])
    assert words in found[1]
    assert "Traceback" not in found[1]
