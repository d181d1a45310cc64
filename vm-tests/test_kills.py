"""Processes that die, hang or are told to stop in the middle: nothing half done stays, and the service goes on."""

import time

import pytest

from testbed.agent import Agent
from testbed.gitserver import GitServer
from testbed.node import Node
from testbed.programs import wait_until
from testbed.site import CREDENTIAL, configure

STOP_SECONDS = 5


def slow_commit(server: GitServer) -> str:
    """A commit whose last step waits until ``/run/go-on`` is there."""
    script = server.work / "postscripts/slow"
    script.write_text("#!/bin/sh\necho started >>/run/slow\nwhile [ ! -e /run/go-on ]; do sleep 0.1; done\n")
    script.chmod(0o755)
    with (server.work / "post.sh").open("a") as post:
        post.write("RUN slow\n")
    return server.commit("Wait for something")


def started(node: Node) -> int:
    return node.exec("cat", "/run/slow", check=False).count("started")


@pytest.mark.usefixtures("commit")
def test_a_killed_daemon_is_started_again_and_goes_on(node: Node, server: GitServer, agent: Agent) -> None:
    before = agent.main_process()
    node.exec("kill", "-KILL", str(before))
    wait_until("another main process", lambda: agent.main_process() not in (0, before))
    (server.work / "files/slurm/slurmd_defaults").write_text('SLURMD_OPTIONS="-Z"\n')
    agent.wait_applied(server.commit("Another option"))
    assert node.read("/etc/default/slurmd") == 'SLURMD_OPTIONS="-Z"\n'
    assert agent.log("postscripts").count("Running scratch /var/scratch...") == 2  # at boot, and for the commit


@pytest.mark.usefixtures("commit")
def test_a_daemon_that_is_killed_in_the_middle_runs_what_was_due_when_it_is_back(
    node: Node, server: GitServer, agent: Agent
) -> None:
    newer = slow_commit(server)
    wait_until("the slow step runs", lambda: started(node) == 1)
    before = agent.main_process()
    node.exec("kill", "-KILL", str(before))
    wait_until("the slow step runs again", lambda: started(node) == 2)
    node.exec("touch", "/run/go-on")
    agent.wait_applied(newer)
    assert node.read("/etc/hosts").count("mgmt.cluster.example") == 1


@pytest.mark.usefixtures("commit")
def test_a_killed_apply_worker_is_reported_and_what_was_due_is_still_run(
    node: Node, server: GitServer, agent: Agent
) -> None:
    newer = slow_commit(server)
    wait_until("the slow step runs", lambda: started(node) == 1)
    daemon = agent.main_process()
    node.exec("kill", "-KILL", str(agent.wait_child(user="root")))
    wait_until("it is reported", lambda: [line for line in agent.log("nodeagent") if "kill" in line.lower()])
    wait_until("the slow step runs again", lambda: started(node) == 2)
    node.exec("touch", "/run/go-on")
    agent.wait_applied(newer)
    assert agent.main_process() == daemon


@pytest.mark.usefixtures("commit")
def test_a_killed_fetch_worker_is_reported_and_survived(node: Node, server: GitServer, agent: Agent) -> None:
    server.freeze()
    daemon = agent.main_process()
    node.exec("kill", "-KILL", str(agent.wait_child(user="nodeagent")))
    wait_until("it is reported", lambda: [line for line in agent.log("nodeagent") if "kill" in line.lower()])
    server.stop()
    (server.work / "files/slurm/slurmd_defaults").write_text('SLURMD_OPTIONS="-Z"\n')
    newer = server.commit("Another option")
    server.start()
    agent.wait_applied(newer, seconds=60)
    assert agent.main_process() == daemon


@pytest.mark.usefixtures("commit")
def test_while_the_server_hangs_drift_is_repaired(node: Node, server: GitServer, agent: Agent) -> None:
    daemon = agent.main_process()
    server.freeze()
    agent.wait_child(user="nodeagent")
    wanted = node.read("/etc/sssd/sssd.conf")
    node.write("/etc/sssd/sssd.conf", "by hand\n")
    wait_until("the content is back", lambda: node.read("/etc/sssd/sssd.conf") == wanted, seconds=60)
    assert agent.main_process() == daemon


def test_a_fetch_that_hangs_for_ever_is_ended_at_its_limit_and_reported(
    node: Node, server: GitServer, agent: Agent
) -> None:
    configure(node.seed, server, settings="interval = 2\njitter = 0", source="timeout = 3600\nfetch_limit = 3")
    server.start()
    server.freeze()
    node.boot(credentials={CREDENTIAL: server.password})
    wait_until("it is reported", lambda: [line for line in agent.log("nodeagent") if "limit" in line], seconds=120)
    server.stop()
    server.start()
    agent.wait_applied(server.git("rev-parse", "HEAD"), seconds=60)
    assert agent.property("NRestarts") == "0"


@pytest.mark.usefixtures("commit")
def test_a_stop_in_the_middle_of_an_apply_ends_in_time_and_leaves_no_half_file(
    node: Node, server: GitServer, agent: Agent
) -> None:
    many = server.work / "files/many"
    many.mkdir()
    for number in range(3000):
        (many / f"file{number:04}").write_text(f"{number:04}\n" * 5000)
    post = server.work / "post.sh"
    post.write_text(post.read_text().replace("COPY ./sssd/", "COPY ./many/ /srv/many/\nCOPY ./sssd/", 1))
    newer = server.commit("Many files")
    wait_until("the copying has begun", lambda: node.exists("/srv/many/file0000"), seconds=60)
    begun = time.monotonic()
    node.exec("systemctl", "stop", "nodeagent.service")
    assert time.monotonic() - begun < STOP_SECONDS
    assert agent.property("Result") == "success"
    copied = node.exec("find", "/srv/many", "-type", "f").split()
    assert all(path.rpartition("/")[2].startswith("file") for path in copied), "a temporary file was left"
    assert not node.exec("find", "/srv/many", "-type", "f", "!", "-size", "25000c"), "a half file was left"
    node.exec("systemctl", "start", "nodeagent.service")
    agent.wait_applied(newer, seconds=60)
    assert len(node.exec("find", "/srv/many", "-type", "f").split()) == 3000


@pytest.mark.usefixtures("commit")
def test_a_stop_during_a_step_ends_it_in_time_and_it_is_still_due(node: Node, server: GitServer, agent: Agent) -> None:
    newer = slow_commit(server)
    wait_until("the slow step runs", lambda: started(node) == 1)
    begun = time.monotonic()
    node.exec("systemctl", "stop", "nodeagent.service")
    assert time.monotonic() - begun < STOP_SECONDS
    assert agent.property("Result") == "success"
    node.exec("touch", "/run/go-on")
    node.exec("systemctl", "start", "nodeagent.service")
    agent.wait_applied(newer)
    assert started(node) == 2


@pytest.mark.usefixtures("commit")
def test_a_loss_of_power_in_the_middle_of_an_apply_leaves_a_node_that_comes_up_right(
    node: Node, server: GitServer, agent: Agent
) -> None:
    newer = slow_commit(server)
    wait_until("the slow step runs", lambda: started(node) == 1)
    node.power_off()
    node.boot(credentials={CREDENTIAL: server.password})
    wait_until("the slow step runs again", lambda: started(node) == 1)  # /run is new
    node.exec("touch", "/run/go-on")
    agent.wait_applied(newer)
    assert node.read("/etc/hosts").count("mgmt.cluster.example") == 1


@pytest.mark.usefixtures("commit")
def test_a_journald_that_does_not_read_stops_neither_the_daemon_nor_an_evaluation_and_the_loss_is_told(
    node: Node, server: GitServer, agent: Agent
) -> None:
    node.exec("mkdir", "-p", "/run/systemd/system/nodeagent.service.d")
    node.write("/run/systemd/system/nodeagent.service.d/watchdog.conf", "[Service]\nWatchdogSec=15s\n")
    node.exec("systemctl", "daemon-reload")
    node.exec("systemctl", "restart", "nodeagent.service")
    daemon = agent.main_process()
    journald = node.exec("systemctl", "show", "--value", "--property=MainPID", "systemd-journald.service").strip()
    node.exec("kill", "-STOP", journald)
    script = server.work / "postscripts/talks"
    script.write_text("#!/bin/sh\nseq 5000\n")
    script.chmod(0o755)
    with (server.work / "post.sh").open("a") as post:
        post.write("RUN talks\n")
    agent.wait_applied(server.commit("Talk a lot"), seconds=60)
    (server.work / "files/slurm/slurmd_defaults").write_text('SLURMD_OPTIONS="-Z"\n')
    agent.wait_applied(server.commit("And go on"), seconds=60)
    node.exec("kill", "-CONT", journald)
    wait_until("the loss is told", lambda: [line for line in agent.log("nodeagent") if "of this log are lost" in line])
    assert agent.main_process() == daemon
    assert agent.property("NRestarts") == "0"
