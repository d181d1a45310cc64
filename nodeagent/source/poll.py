"""One poll, in a child of its own: ask the server whether the ref moved, and fetch what is new."""

import contextlib
import functools
import os
import pwd
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from nodeagent.config import Config
from nodeagent.errors import NodeagentError, ReferenceNotFound, TransientError
from nodeagent.model.events import Notice, Reporter
from nodeagent.model.outcomes import AcceptOutcome, Failure, PollOutcome
from nodeagent.node import needs
from nodeagent.source import beacon, bounds, libgit2, reach, storage
from nodeagent.source.beacon import Beacon, BeaconError
from nodeagent.source.confine import account, confine
from nodeagent.source.following import Follower
from nodeagent.source.remote import access, refs, retry
from nodeagent.source.store import git, objects
from nodeagent.source.trust.history import ANYTHING, Standing

WARNING, INFO = 4, 6  # syslog severities


def store_path(config: Config) -> Path:
    """Where the fetch user keeps what it fetched; :func:`nodeagent.source.checkout.sending.export` reads it there."""
    return config.paths.cache / "fetch" / "store.git"


def home_path(config: Config) -> Path:
    """The home directory that libgit2 sees: it holds the pinned host keys, is root's, and readable for all."""
    return config.paths.runtime / "home"


def prepare(config: Config) -> None:
    """Make, as root, the directories that the fetch user reads and writes. Cheap when they are there.

    Raises:
        FetchUserMissing: the user that fetches does not exist.
        InvalidConfiguration: the known_hosts cannot be read.
        NodeUnusable: a file system is full or read-only.
    """
    user = account(config.source.user)
    directory = store_path(config).parent
    with needs(config.paths.runtime):
        access.prepare(config, home_path(config))
    with needs(directory):
        try:
            found = os.lstat(directory)
        except FileNotFoundError:
            storage.make_passable(directory.parent)
            directory.mkdir(mode=0o700)
            found = os.lstat(directory)
        if os.geteuid() == 0 and (found.st_uid, found.st_gid) != (user.pw_uid, user.pw_gid):
            _give(directory, user)


def warm(config: Config) -> None:
    """Do once, in the process that forks the polls, what each of them would else do again: it saves 1 ms of CPU a poll.

    No network, no secret, nothing that changes the node; an error shows itself in the poll.
    """
    libgit2.configure(home_path(config), config.source.connect_timeout, config.source.timeout)
    reach.warm()
    beacon.warm(config)
    with contextlib.suppress(NodeagentError):
        account(config.source.user)


def poll(
    config: Config,
    current: str,
    stop: threading.Event,
    reporter: Reporter,
    credentials_directory: Path | None,
    *,
    standing: Standing = ANYTHING,
) -> PollOutcome:
    """Ask the server for the branch's commit, and fetch it if the store lacks it.

    Runs in a forked child, as root; this process gives up root for good on the way. Every failed attempt that is
    followed by another one is reported; the last error is in the outcome.

    Args:
        config: the whole configuration.
        current: the newest commit that is known, or empty.
        stop: ends a wait between two attempts.
        reporter: told of attempts that failed.
        credentials_directory: what systemd put into ``$CREDENTIALS_DIRECTORY``; None outside of a unit.
        standing: what the ref may move on from.
    """
    try:
        prepare(config)
        tell = functools.partial(_tell, reporter)
        patience = _patience(config)
        gaining = functools.partial(access.gain, config, credentials_directory)
        way = retry.attempts(stop, config.retry_delay, patience, tell, gaining)
        _become_fetcher(config)
        light = Beacon(config, store_path(config).parent) if config.source.beacon else None
        if light and current and _is_confirmed(config, light, current, reporter):
            return PollOutcome(commit=current, moved=False, by_beacon=True)
        job = functools.partial(Follower(config, store_path(config), way, reporter).look, standing)
        commit = _noted(light, config, reporter, lambda: retry.attempts(stop, config.retry_delay, patience, tell, job))
    except NodeagentError as error:
        failure = Failure(code=error.code, message=str(error), transient=isinstance(error, TransientError))
        return PollOutcome(commit=_held(config, current), moved=False, failure=failure)
    return PollOutcome(commit=commit, moved=commit != current)


def _is_confirmed(config: Config, light: Beacon, current: str, reporter: Reporter) -> bool:
    """Whether the beacon says that nothing is new, and the store still has what the node is at."""
    try:
        return light.confirms(current) and git.Store.open(store_path(config)).has(current)
    except BeaconError as error:
        text = f"{config.source.beacon}: {error}: the server itself is asked while the beacon does not answer"
        if light.is_news(text):
            reporter.report(Notice(priority=WARNING, text=text))
        return False


def _noted(light: Beacon | None, config: Config, reporter: Reporter, asking: Callable[[], str]) -> str:
    """Ask the server itself, and remember by the beacon what became of it."""
    if light is None:
        return asking()
    light.asking()
    commit = asking()
    light.answered(commit)
    if light.heard not in {"", commit}:
        text = (
            f"{config.source.beacon}: says {light.heard}, and {config.source.ref} is at {commit}: is it still written?"
        )
        if light.is_news(text):
            reporter.report(Notice(priority=INFO, text=text))
    return commit


def fetch_named(config: Config, name: str, credentials_directory: Path | None) -> str:
    """Fetch a branch, a tag or a full commit hash of the repository into the store; gives up root in this process.

    What the daemon follows and enforces stays as it is. One attempt.

    Returns:
        The commit (hex), which the store then holds.

    Raises:
        ReferenceNotFound: there is no such branch or tag, or no branch or tag leads to the commit.
        NodeagentError: as :func:`poll`, which returns it.
    """
    prepare(config)
    way = access.gain(config, credentials_directory)
    _become_fetcher(config)
    store = git.Store.open(store_path(config))
    _, target = Follower(config, store.path, way).bring(store, name, whole=not store.is_empty)
    return target.commit


def examine(config: Config, name: str, standing: Standing, credentials_directory: Path | None) -> AcceptOutcome:
    """Look whether a node may be told to accept a commit, by its full id or a branch's or tag's name.

    Gives up root in this process. One attempt; what is followed stays as it is.

    Raises:
        ReferenceNotFound: the server does not have it, or not in the history of the ref that the node follows.
        NodeagentError: as :func:`poll`, which returns it.
    """
    prepare(config)
    way = access.gain(config, credentials_directory)
    _become_fetcher(config)
    store = git.Store.open(store_path(config))
    if not store.is_whole and not all(store.has(old) for old in standing.commits):
        store = git.Store.anew(store.path)
    follower = Follower(config, store.path, way)
    store, head = follower.bring(store, config.source.ref, whole=True)
    commit = name
    if not refs.is_commit(name):
        store, target = follower.bring(store, name, whole=True)
        commit = target.commit
    elif not store.is_ancestor(name, head.commit) and not store.is_whole:  # it may lie behind the border
        store, head = follower.bring(git.Store.anew(store.path), config.source.ref, whole=True)
    if not store.is_ancestor(commit, head.commit):
        raise ReferenceNotFound(
            f"{config.source.url}: {head.shown} is at {head.commit}, and {commit} is not in its history: push it "
            "there, or accept what is there"
        )
    return AcceptOutcome(
        commit=commit,
        head=head.commit,
        shown=head.shown,
        origin=objects.commit_origin(store.read(commit)),
        needed=not any(store.is_ancestor(old, head.commit) for old in standing.commits),
    )


def _become_fetcher(config: Config) -> None:
    within = reach.fetching(config, store=store_path(config), home=home_path(config))
    bounds.bound(config.limits, threads=within.threads)
    confine(config.source.user, within)
    libgit2.configure(home_path(config), config.source.connect_timeout, config.source.timeout)
    git.begin_fetching(store_path(config))


def _held(config: Config, current: str) -> str:
    """The commit of the node if the store can hand it over while the server is away; gives up root first."""
    if not current:
        return ""
    try:
        if os.geteuid() == 0:  # the failure came before
            _become_fetcher(config)
        return current if git.Store.open(store_path(config)).has(current) else ""
    except NodeagentError:
        return ""


def _tell(reporter: Reporter, number: int, error: TransientError, wait: float) -> None:
    reporter.report(
        Notice(priority=WARNING, code=error.code, text=f"attempt {number} failed, the next in {wait:.1f} s: {error}")
    )


def _patience(config: Config) -> float:
    """Seconds until a poll gives up: before the next one would be due, and well before it is killed."""
    return min(config.interval, config.source.fetch_limit / 2)


def _give(directory: Path, user: pwd.struct_passwd) -> None:
    """Hand the store's directory over, without what another fetch user left in it (libgit2 would refuse it)."""
    for left in directory.iterdir():
        if stat.S_ISDIR(left.lstat().st_mode):
            shutil.rmtree(left)
        else:
            left.unlink()
    os.chown(directory, user.pw_uid, user.pw_gid, follow_symlinks=False)
