"""Mistakes that only a person can mend: one clear error, a condition with its reason, and no storm of tries."""

import pytest

from testbed.agent import Agent
from testbed.gitserver import ADMITTED, GitServer
from testbed.node import Node
from testbed.programs import run, wait_until
from testbed.site import CREDENTIAL, configure


def errors(agent: Agent) -> list[str]:
    return [entry["MESSAGE"] for entry in agent.entries("nodeagent") if int(entry["PRIORITY"]) <= 3]


def told_once(agent: Agent, reason: str) -> str:
    """Wait for Stalled for that reason; return the one error in the journal."""
    agent.wait_condition("Stalled", reason)
    found = errors(agent)
    assert len(found) == 1, found
    return found[0]


def test_a_wrong_password_is_told_once_and_no_server_is_asked(node: Node, server: GitServer, agent: Agent) -> None:
    server.start()
    node.boot(credentials={CREDENTIAL: "not-" + server.password})
    message = told_once(agent, "WrongPassword")
    assert "key.enc" in message
    before = len(agent.log("nodeagent"))
    wait_for_cycles(agent)
    assert len(agent.log("nodeagent")) == before
    assert ADMITTED not in server.log
    assert agent.property("NRestarts") == "0"


def test_no_password_at_all_names_the_places_where_it_was_looked_for(
    node: Node, server: GitServer, agent: Agent
) -> None:
    server.start()
    node.boot()
    message = told_once(agent, "PasswordUnavailable")
    assert CREDENTIAL in message
    assert "/run/nodeagent.password" in message


def test_a_server_with_another_host_key_is_refused(node: Node, server: GitServer, agent: Agent) -> None:
    known_hosts = node.seed / "etc/nodeagent/known_hosts"
    other = GitServer(server.directory / "other", port=server.port)
    known_hosts.write_text(other.known_hosts)
    server.start()
    node.boot(credentials={CREDENTIAL: server.password})
    told_once(agent, "HostKeyMismatch")
    assert not node.exists("/etc/munge/munge.key")


def test_a_server_that_is_not_in_known_hosts_is_refused(node: Node, server: GitServer, agent: Agent) -> None:
    (node.seed / "etc/nodeagent/known_hosts").write_text("")
    server.start()
    node.boot(credentials={CREDENTIAL: server.password})
    told_once(agent, "HostKeyUnknown")


def test_a_key_that_the_server_does_not_know_is_told(node: Node, server: GitServer, agent: Agent) -> None:
    (server.directory / "authorized_keys").write_text("")
    server.start()
    node.boot(credentials={CREDENTIAL: server.password})
    told_once(agent, "AuthenticationFailed")


@pytest.mark.parametrize(
    ("url_end", "ref", "reason"),
    [("-is-not-there", "main", "RepositoryNotFound"), ("", "no-such-branch", "ReferenceNotFound")],
)
def test_a_missing_repository_or_branch_is_told(  # noqa: PLR0917 - fixtures and parameters
    url_end: str, ref: str, reason: str, node: Node, server: GitServer, agent: Agent
) -> None:
    configure(node.seed, server, settings="interval = 2", source=f'ref = "{ref}"')
    file = node.seed / "etc/nodeagent/nodeagent.toml"
    file.write_text(file.read_text().replace(server.url, server.url + url_end))
    server.start()
    node.boot(credentials={CREDENTIAL: server.password})
    told_once(agent, reason)


def test_a_commit_that_is_not_signed_is_told_once_and_who_signed_the_next_one(
    node: Node, server: GitServer, agent: Agent
) -> None:
    key = server.directory / "signer"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], cwd=server.directory)
    (node.seed / "etc/nodeagent/allowed_signers").write_text(
        f"alice@cluster.example {key.with_suffix('.pub').read_text()}"
    )
    configure(
        node.seed, server, settings='interval = 2\n[signatures]\nallowed_signers = "/etc/nodeagent/allowed_signers"'
    )
    server.start()
    node.boot(credentials={CREDENTIAL: server.password})
    assert "git commit -S" in told_once(agent, "SignatureMissing")
    assert not node.exists("/etc/munge/munge.key")

    for name, value in (("gpg.format", "ssh"), ("user.signingkey", str(key)), ("commit.gpgsign", "true")):
        server.git("config", name, value)
    (server.work / "README.md").write_text("Commits are signed.\n")
    commit = server.commit("Say that commits are signed")

    agent.wait_applied(commit)
    fingerprint = run(["ssh-keygen", "-l", "-f", f"{key}.pub"], cwd=server.directory).split()[1]
    expected = f"commit {commit} is signed by alice@cluster.example (ssh-ed25519 {fingerprint})"
    assert agent.log("nodeagent").count(expected) == 1
    wait_until("Stalled is over", lambda: agent.condition("Stalled") is None)


def test_after_the_mistake_is_mended_a_reload_goes_on(node: Node, server: GitServer, agent: Agent) -> None:
    server.start()
    node.boot()
    agent.wait_condition("Stalled", "PasswordUnavailable")
    node.exec("install", "-m", "600", "/dev/stdin", "/run/nodeagent.password", stdin=server.password + "\n")
    node.exec("systemctl", "reload", "nodeagent.service")
    agent.wait_applied(server.git("rev-parse", "HEAD"))
    wait_until("Stalled is over", lambda: agent.condition("Stalled") is None)


def wait_for_cycles(agent: Agent) -> None:
    """Wait until the next poll has moved on twice."""
    seen = {agent.status()["next_poll"]}

    def moved_twice() -> bool:
        seen.add(agent.status()["next_poll"])
        return len(seen) > 2

    wait_until("two more cycles", moved_twice, seconds=120)
