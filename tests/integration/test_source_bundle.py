"""A poll of a file that ``git bundle create`` made: what a site without a git server copies to its nodes."""

import os

import pytest

from nodeagent.source.poll import fetch_named, store_path
from tests.integration.conftest import in_child

PLAN = {"post.sh": "#!/bin/sh\n", "files/motd": "welcome\n"}


@pytest.fixture
def bundle(site):
    """Write the bundle anew, as git does: ``bundle("main", ...)``; where it lies."""
    path = site.directory / "configs.bundle"

    def write(*arguments, version=2):
        new = path.with_suffix(".new")
        site.repository.git("bundle", "create", "-q", f"--version={version}", new, *(arguments or ("main",)))
        new.chmod(0o644)
        new.rename(path)
        return path

    return write


def following(site, **source):
    nothing = {"key": site.directory / "no-key", "known_hosts": site.directory / "no-hosts"}
    return site.config(source={"url": str(site.directory / "configs.bundle"), **nothing, **source})


def failure_of(site, config, *texts, code, transient=False, current=""):
    outcome, _ = site.poll(config, current)
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.transient) == (code, transient), outcome.failure.message
    for text in ("configs.bundle", *texts):
        assert text in outcome.failure.message
    return outcome


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_bundle_is_followed_like_a_server(site, bundle, version, scheme):
    first = site.repository.commit(PLAN)
    config = following(site, url=f"{scheme}{bundle(version=version)}")

    outcome, events = site.poll(config)
    assert (outcome.commit, outcome.moved, outcome.failure, events) == (first, True, None, [])

    second = site.repository.commit({"files/motd": "hello\n"})
    bundle(version=version)
    outcome, _ = site.poll(config, first)
    assert (outcome.commit, outcome.moved, outcome.failure) == (second, True, None)
    outcome, _ = site.poll(config, second)
    assert (outcome.commit, outcome.moved, outcome.failure) == (second, False, None)


def test_an_increment_is_enough_for_a_node_that_has_what_it_builds_on(site, bundle):
    first = site.repository.commit({**PLAN, "files/large": os.urandom(20_000).hex()})
    bundle()
    site.poll(following(site))
    text = (site.repository.work / "files/large").read_text()
    second = site.repository.commit({"files/large": text + "more\n"})
    path = bundle(f"{first}..main")
    assert path.stat().st_size < 10_000, "it is a thin pack: the file as a difference from what it was"

    outcome, _ = site.poll(following(site), first)

    assert (outcome.commit, outcome.failure) == (second, None)


def test_an_increment_without_what_it_builds_on_is_refused_and_the_commit_named(site, bundle):
    first = site.repository.commit(PLAN)
    site.repository.commit({"files/motd": "hello\n"})
    bundle(f"{first}..main")

    failure_of(site, following(site), first, "git bundle create", code="ReferenceNotFound")


@pytest.mark.parametrize("ref", ["v1", "refs/tags/v1", "light", "commit"])
def test_tags_and_commits_are_found_in_a_bundle(site, bundle, ref):
    first = site.repository.commit(PLAN)
    site.repository.git("tag", "-a", "v1", "-m", "One")
    site.repository.git("tag", "light")
    site.repository.commit({"files/motd": "hello\n"})
    bundle("--all")

    config = following(site, ref=first if ref == "commit" else ref)
    outcome, _ = site.poll(config)
    assert (outcome.commit, outcome.failure) == (first, None)
    outcome, _ = site.poll(config, first)
    assert (outcome.commit, outcome.moved, outcome.failure) == (first, False, None)


def test_a_commit_by_name_comes_out_of_a_bundle_for_a_plan(site, bundle):
    first = site.repository.commit(PLAN)
    site.repository.git("branch", "next")
    site.repository.commit({"files/motd": "hello\n"})
    bundle("--all")
    config = following(site)
    site.poll(config)

    assert in_child(lambda: fetch_named(config, "next", None)) == first


def test_a_rewritten_branch_in_a_bundle_is_refused(site, bundle):
    site.repository.commit(PLAN)
    current = site.repository.commit({"files/motd": "hello\n"})
    bundle()
    site.poll(following(site))
    site.repository.git("reset", "-q", "--hard", "HEAD~1")
    site.repository.commit({"files/motd": "other\n"})
    bundle()

    outcome = failure_of(site, following(site), code="NonFastForward", current=current)

    assert outcome.commit == current


def test_a_branch_that_is_not_in_the_bundle_is_told_with_those_that_are(site, bundle):
    site.repository.commit(PLAN)
    bundle()

    failure_of(site, following(site, ref="production"), "main", code="ReferenceNotFound")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.99])
def test_a_bundle_that_is_not_whole_is_refused_and_taken_once_it_is(site, bundle, share):
    commit = site.repository.commit({**PLAN, "files/large": os.urandom(3000)})
    path = bundle()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])

    outcome, _ = site.poll(following(site))
    assert outcome.failure is not None
    assert outcome.failure.code in {"RepositoryDamaged", "RepositoryNotFound"}, outcome.failure.message

    path.write_bytes(whole)
    outcome, _ = site.poll(following(site))
    assert (outcome.commit, outcome.failure) == (commit, None)


def test_a_bundle_with_a_changed_byte_is_refused(site, bundle):
    site.repository.commit({**PLAN, "files/large": os.urandom(3000)})
    path = bundle()
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)

    failure_of(site, following(site), "git bundle verify", code="RepositoryDamaged")


def test_a_file_that_is_no_bundle_is_told(site):
    (site.directory / "configs.bundle").write_text("hello\n")

    failure_of(site, following(site), "no bundle of git", code="RepositoryNotFound")


def test_a_bundle_that_the_fetch_user_may_not_read_is_told(site, bundle):
    site.repository.commit(PLAN)
    bundle().chmod(0o600)

    failure_of(site, following(site), "user nobody may not read it", code="RepositoryNotFound")


def test_a_bundle_may_be_a_mirror(site, bundle):
    commit = site.repository.commit(PLAN)
    path = bundle()
    site.server.stop()

    outcome, events = site.poll(site.config(source={"mirrors": [str(path)], "connect_timeout": 2.0}))

    assert (outcome.commit, outcome.failure) == (commit, None)
    assert [event.code for event in events] == ["RemoteUnreachable"]


def test_nothing_of_a_refused_bundle_stays_in_the_store(site, bundle):
    site.repository.commit({**PLAN, "files/large": os.urandom(300_000)})
    path = bundle()
    data = path.read_bytes()
    path.write_bytes(data[:-5000])

    for _ in range(2):
        site.poll(following(site))

    assert (
        sum(file.stat().st_size for file in (store_path(following(site)) / "objects").rglob("*") if file.is_file())
        < 5000
    )
