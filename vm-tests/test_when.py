"""When steps run on a booted node: beside jobs, after changes, once a boot, again after a failure, after a kill."""

import pytest

from testbed.agent import Agent
from testbed.gitserver import GitServer
from testbed.node import Node
from testbed.programs import wait_until
from testbed.site import CREDENTIAL, configure

HEAD = '#!/bin/sh\nCOPY() {\n  mkdir -p "$(dirname "$2")"\n  rsync -a "$1" "$2"\n}\ncd "$(dirname "$0")" || exit 1\n'
JOBS = """
[jobs]
probe = "command"
command = ["/bin/sh", "-c", "! test -e /run/job || { echo job 17 runs here; exit 1; }"]
"""


@pytest.fixture
def site(node: Node, server: GitServer) -> GitServer:
    """The node asks a command for jobs: one runs while /run/job is there."""
    configure(node.seed, server, settings=f"interval = 2\njitter = 0\nretry_delay = 2\n{JOBS}")
    server.start()
    return server


def program(site: GitServer, body: str, **files: str) -> str:
    """A commit of this post.sh and these files."""
    (site.work / "post.sh").write_text(HEAD + body)
    for name, text in files.items():
        (site.work / "files" / name).write_text(text)
    return site.commit("Say when")


def boot(node: Node, site: GitServer, agent: Agent, commit: str) -> None:
    node.boot(credentials={CREDENTIAL: site.password})
    agent.wait_applied(commit)


def ran(node: Node, word: str) -> int:
    return node.exec("cat", "/root/ran.log", check=False).split().count(word)


def step(word: str, annotation: str) -> str:
    return f"sh -c 'echo {word} >>/root/ran.log' # nodeagent: {annotation}\n"


def test_a_step_waits_for_the_end_of_a_job_and_files_do_not(node: Node, site: GitServer, agent: Agent) -> None:
    text = "COPY files/conf /etc/site/conf\n" + step("restart", "on=/etc/site") + step("look", "on=/etc/site anytime")
    boot(node, site, agent, program(site, text, conf="1\n"))
    assert (ran(node, "restart"), ran(node, "look")) == (1, 1)
    node.write("/run/job", "")
    agent.wait_applied(program(site, text, conf="2\n"))
    assert node.read("/etc/site/conf") == "2\n"
    assert (ran(node, "restart"), ran(node, "look")) == (1, 2)
    (pending,) = agent.status()["pending"]
    assert "due (/etc/site/conf changed), but job 17 runs here" in pending
    assert "1 pending" in agent.property("StatusText")
    site.wait_polls(3)
    told = [entry for entry in agent.entries("postscripts") if "deferred: due" in entry["MESSAGE"]]
    assert [entry["PRIORITY"] for entry in told] == ["5"]
    node.exec("rm", "/run/job")
    wait_until("what waited runs", lambda: ran(node, "restart") == 2)
    wait_until("nothing is pending", lambda: not agent.status()["pending"])


def test_a_service_is_restarted_when_drift_of_its_file_was_repaired(node: Node, site: GitServer, agent: Agent) -> None:
    text = "COPY files/conf /etc/site/conf\n" + step("restart", "on=/etc/site/conf")
    boot(node, site, agent, program(site, text, conf="1\n"))
    node.write("/etc/site/conf", "by hand\n")
    wait_until("it runs again", lambda: ran(node, "restart") == 2)
    assert node.read("/etc/site/conf") == "1\n"
    reasons = [entry["MESSAGE"] for entry in agent.entries("postscripts") if entry["PRIORITY"] == "7"]
    assert any(reason.endswith("runs: due: /etc/site/conf changed") for reason in reasons)


def test_a_step_of_the_boot_runs_once_a_boot(node: Node, site: GitServer, agent: Agent) -> None:
    text = step("mount", "boot") + step("always", "anytime")
    boot(node, site, agent, program(site, text))
    newer = program(site, text + "true\n")
    agent.wait_applied(newer)
    assert (ran(node, "mount"), ran(node, "always")) == (1, 2)
    node.reboot(credentials={CREDENTIAL: site.password})
    wait_until("it runs once more", lambda: ran(node, "mount") == 2)


def test_a_kill_between_a_copy_and_the_restart_below_it_loses_no_restart(
    node: Node, site: GitServer, agent: Agent
) -> None:
    text = "COPY files/conf /etc/site/conf\nwhile [ -e /run/hold ]; do sleep 0.1; done\n" + step(
        "restart", "on=/etc/site"
    )
    boot(node, site, agent, program(site, text, conf="1\n"))
    node.write("/run/hold", "")
    newer = program(site, text, conf="2\n")
    wait_until("the file is placed", lambda: node.read("/etc/site/conf") == "2\n")
    worker, before = agent.wait_child(user="root"), agent.main_process()
    node.exec("kill", "-KILL", str(worker), str(before))
    node.exec("rm", "/run/hold")
    wait_until("another main process", lambda: agent.main_process() not in (0, before))
    agent.wait_applied(newer)
    wait_until("the restart is made up for", lambda: ran(node, "restart") == 2)


def test_a_failed_step_is_tried_again_as_often_as_it_may(node: Node, site: GitServer, agent: Agent) -> None:
    text = "sh -c 'echo try >>/root/ran.log; [ -e /run/up ]' # nodeagent: retry=2\n"
    boot(node, site, agent, program(site, text))
    wait_until("all tries are used up", lambda: ran(node, "try") == 3)
    agent.wait_condition("Degraded", "StepsFailed")
    site.wait_polls(2)
    assert ran(node, "try") == 3
    node.write("/run/up", "")
    node.exec("nodeagent", "apply", "--retry")
    assert ran(node, "try") == 4
    wait_until("it is no longer degraded", lambda: agent.condition("Degraded") is None)
