"""The store of fetched commits over many revisions, against a real server."""

import os
import subprocess  # noqa: TID251 - tests drive the real git
from pathlib import Path

import pytest

from nodeagent.source.poll import store_path


def packed(store: Path) -> int:
    return sum(file.stat().st_size for file in (store / "objects/pack").iterdir())


def fresh_clone(site, target: Path) -> int:
    url = f"file://{site.repository.bare}"
    subprocess.run(["git", "clone", "-q", "--bare", "--depth=1", url, target], check=True)
    return packed(target)


def push(site, number):
    return site.repository.commit({"post.sh": "#!/bin/sh\n", "files/image": os.urandom(30_000), "n": str(number)})


def followed(site, commit, current):
    """A poll that finds a commit, and one without news."""
    for known in (current, commit):
        outcome, _ = site.poll(current=known)
        assert (outcome.commit, outcome.failure) == (commit, None)
    return commit


def test_at_rest_it_takes_at_most_twice_the_room_of_a_fresh_shallow_clone(site):
    current = followed(site, push(site, 0), "")
    for number in range(1, 9):
        current = followed(site, push(site, number), current)
        assert packed(store_path(site.config())) <= 2 * fresh_clone(site, site.directory / f"clone{number}") + 1000

    subprocess.run(["git", "-c", "safe.directory=*", "-C", store_path(site.config()), "fsck", "--strict"], check=True)
    assert [p.name for p in store_path(site.config()).parent.iterdir()] == ["store.git"]


def test_a_first_fetch_without_a_past_is_not_copied_again(site):
    push(site, 0)
    current = push(site, 1)  # its parent is not fetched
    site.poll(current="")
    packs = {path.name: path.stat().st_ino for path in (store_path(site.config()) / "objects/pack").iterdir()}
    assert packs

    site.poll(current=current)

    assert {path.name: path.stat().st_ino for path in (store_path(site.config()) / "objects/pack").iterdir()} == packs


def test_a_store_that_was_made_small_tells_a_rewritten_branch_and_follows_when_it_is_restored(site):
    current = ""
    for number in range(4):
        current = followed(site, push(site, number), current)
    site.repository.git("reset", "-q", "--hard", "HEAD~2")
    push(site, 9)

    outcome, _ = site.poll(current=current)

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.commit) == ("NonFastForward", current)
    site.repository.git("reset", "-q", "--hard", current)
    followed(site, push(site, 10), current)


def test_a_history_that_was_fetched_as_a_whole_is_left_behind_again(site):
    for number in range(4):
        current = push(site, number)
    site.poll(current="1" * 40)  # to know whether it descends from a commit that nobody has, all has to be looked at
    whole = packed(store_path(site.config()))

    followed(site, current, current)

    assert packed(store_path(site.config())) < whole / 2


@pytest.mark.parametrize("left", ["store.git.new", "store.git.old"])
def test_what_a_crash_left_beside_it_is_cleared_away(site, left):
    current = followed(site, push(site, 0), "")
    beside = store_path(site.config()).with_name(left)
    beside.mkdir()
    owner = store_path(site.config()).stat()
    os.chown(beside, owner.st_uid, owner.st_gid)

    for number in range(1, 4):
        current = followed(site, push(site, number), current)

    assert not beside.exists()


def test_a_crash_between_the_renames_costs_a_fetch_and_nothing_else(site):
    current = followed(site, push(site, 0), "")
    store = store_path(site.config())
    store.rename(store.with_name("store.git.old"))

    followed(site, push(site, 1), current)


def test_without_room_for_a_second_one_the_large_store_goes_on_serving(site):
    config = site.config(paths={"cache": site.memory / "small"})
    config.paths.cache.mkdir(mode=0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k,mode=755", "tmpfs", config.paths.cache], check=True)
    try:
        current = ""
        for number in range(2):
            commit = site.repository.commit(
                {"post.sh": "#!/bin/sh\n", f"files/{number}": os.urandom(70_000 + 110_000 * number)}
            )
            for known in (current, commit):
                outcome, _ = site.poll(config, known)
                assert (outcome.commit, outcome.failure) == (commit, None)
            current = commit
        assert packed(store_path(config)) > 240_000
        assert [p.name for p in store_path(config).parent.iterdir()] == ["store.git"]
    finally:
        subprocess.run(["umount", config.paths.cache], check=True)
