"""A poll of a repository that lies on the node itself, or on a file system that it has mounted."""

import pytest

PLAN = {"post.sh": "#!/bin/sh\n", "files/motd": "welcome\n"}


def local(site, url=None, **more):
    """The configuration of a node that has neither a deploy key nor host keys."""
    nothing = {"key": site.directory / "no-key", "known_hosts": site.directory / "no-hosts"}
    return site.config(source={"url": url or str(site.repository.bare), **nothing, **more})


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_repository_of_roots_own_is_followed_by_its_path(site, scheme):
    first = site.repository.commit(PLAN)
    config = local(site, f"{scheme}{site.repository.bare}")

    outcome, _ = site.poll(config)
    assert (outcome.commit, outcome.moved, outcome.failure) == (first, True, None)

    second = site.repository.commit({"files/motd": "hello\n"})
    outcome, _ = site.poll(config, first)
    assert (outcome.commit, outcome.moved, outcome.failure) == (second, True, None)
    outcome, _ = site.poll(config, second)
    assert (outcome.commit, outcome.moved, outcome.failure) == (second, False, None)


def test_a_tag_and_a_commit_of_a_local_repository_are_found(site):
    first = site.repository.commit(PLAN)
    site.repository.git("tag", "-a", "v1", "-m", "One")
    site.repository.git("push", "-q", site.repository.bare, "v1")
    site.repository.commit({"files/motd": "hello\n"})

    for ref in ("v1", first):
        outcome, _ = site.poll(local(site, ref=ref))
        assert (outcome.commit, outcome.failure) == (first, None)


def test_what_is_not_there_is_told_with_the_kernels_words(site):
    outcome, _ = site.poll(local(site, "/no/such/repository.git"))

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.transient) == ("RepositoryNotFound", False)
    assert "No such file" in outcome.failure.message


@pytest.mark.parametrize("closed", ["the directory above", "itself"])
def test_what_the_fetch_user_may_not_read_is_told_with_the_way_out(site, closed):
    site.repository.commit(PLAN)
    parent = site.directory / "closed"
    parent.mkdir()
    repository = parent / "repository.git"
    site.repository.bare.rename(repository)
    (parent if closed == "the directory above" else repository).chmod(0o700)

    outcome, _ = site.poll(local(site, str(repository)))

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.transient) == ("RepositoryNotFound", False)
    assert "user nobody may not read it" in outcome.failure.message


def test_a_directory_that_is_no_repository_is_told(site):
    outcome, _ = site.poll(local(site, str(site.directory)))

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.transient) == ("RepositoryNotFound", False)


def test_a_path_that_everybody_may_write_is_refused(site):
    site.repository.commit(PLAN)
    site.repository.bare.chmod(0o777)

    outcome, _ = site.poll(local(site))

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.transient) == ("InvalidConfiguration", False)
    assert "every user" in outcome.failure.message
