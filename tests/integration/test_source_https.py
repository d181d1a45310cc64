"""A poll over HTTPS: git's own smart HTTP behind TLS, with authorities of our own."""

import pytest

from testbed.webserver import Authority, WebServer

PLAN = {"post.sh": "#!/bin/sh\n", "files/motd": "welcome\n"}


@pytest.fixture
def authority(place):
    return Authority(place / "authority")


@pytest.fixture
def web(site, authority):
    with WebServer(site.repository.bare.parent, authority.certify("127.0.0.1", "localhost")) as server:
        yield server


def https(site, server, authority, **more):
    """The configuration of a node that follows by HTTPS: it has no deploy key and no host keys."""
    return site.config(
        source={
            "url": server.url("repository.git"),
            "ca_file": authority.file,
            "key": site.directory / "no-key",
            "known_hosts": site.directory / "no-hosts",
            **more,
        }
    )


def failure_of(site, config, *texts, code, transient=False):
    outcome, _ = site.poll(config)
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.transient) == (code, transient), outcome.failure.message
    for text in texts:
        assert text in outcome.failure.message
    assert "\n" not in outcome.failure.message
    return outcome.failure.message


def test_a_repository_is_followed_by_https_without_a_deploy_key(site, web, authority):
    first = site.repository.commit(PLAN)
    config = https(site, web, authority)

    outcome, _ = site.poll(config)
    assert (outcome.commit, outcome.moved, outcome.failure) == (first, True, None)

    second = site.repository.commit({"files/motd": "hello\n"})
    outcome, _ = site.poll(config, first)
    assert (outcome.commit, outcome.moved, outcome.failure) == (second, True, None)
    outcome, _ = site.poll(config, second)
    assert (outcome.commit, outcome.moved, outcome.failure) == (second, False, None)
    assert all(seen is None for _, seen in web.requests)


def test_the_first_poll_by_https_leaves_the_history_on_the_server(site, web, authority):
    for text in "abc":
        site.repository.commit({"post.sh": text})
    config = https(site, web, authority)

    site.poll(config)

    assert (config.paths.cache / "fetch/store.git/shallow").read_text().split() == [site.repository.head]


def test_a_certificate_of_another_authority_is_refused_and_its_issuer_named(site, web, authority, place):
    site.repository.commit(PLAN)
    other = Authority(place / "other", "Somebody Else")

    failure_of(site, https(site, web, other), "CN=Site Authority", str(other.file), code="CertificateInvalid")

    assert web.requests == []


def test_without_a_ca_file_the_distributions_authorities_are_asked(site, web, authority):
    site.repository.commit(PLAN)

    failure_of(site, https(site, web, authority, ca_file=None), "list of authorities", code="CertificateInvalid")


def test_a_certificate_for_another_name_is_refused_and_its_names_told(site, authority):
    site.repository.commit(PLAN)
    with WebServer(site.repository.bare.parent, authority.certify("git.cluster.example", "10.9.8.7")) as server:
        failure_of(
            site,
            https(site, server, authority),
            "git.cluster.example, 10.9.8.7",
            "127.0.0.1",
            code="CertificateInvalid",
        )
        assert server.requests == []


def test_a_certificate_that_has_ended_is_refused_and_its_day_told(site, authority):
    site.repository.commit(PLAN)
    with WebServer(site.repository.bare.parent, authority.certify("127.0.0.1", first=-9, last=-2)) as server:
        failure_of(site, https(site, server, authority), "has ended on", code="CertificateInvalid")


def test_a_certificate_that_is_not_valid_yet_is_tried_again_since_the_clock_may_not_be_set(site, authority):
    site.repository.commit(PLAN)
    with WebServer(site.repository.bare.parent, authority.certify("127.0.0.1", first=2, last=9)) as server:
        config = https(site, server, authority)
        failure_of(site, config, "clock", code="RemoteUnreachable", transient=True)


def test_a_ca_file_that_is_none_is_named(site, web, authority):
    authority.file.write_text("nothing\n")

    failure_of(site, https(site, web, authority), "source.ca_file", str(authority.file), code="InvalidConfiguration")


def test_a_redirect_to_another_host_is_not_followed(site, web, authority):
    site.repository.commit(PLAN)
    with WebServer(site.repository.bare.parent, authority.certify("localhost")) as other:
        web.location = other.url("", host="localhost").rstrip("/")
        message = failure_of(site, https(site, web, authority), "redirect", code="RemoteUnreachable", transient=True)
        assert "localhost" in message
        assert other.requests == []


def test_a_redirect_to_plain_http_is_not_followed(site, web, authority):
    site.repository.commit(PLAN)
    with WebServer(site.repository.bare.parent, None) as other:
        web.location = other.url("").rstrip("/")
        failure_of(site, https(site, web, authority), "redirect", code="RemoteUnreachable", transient=True)
        assert other.requests == []


def test_plain_http_is_for_a_server_on_loopback(site):
    commit = site.repository.commit(PLAN)
    with WebServer(site.repository.bare.parent, None) as server:
        outcome, _ = site.poll(site.config(source={"url": server.url("repository.git")}))

    assert (outcome.commit, outcome.failure) == (commit, None)
