"""The probe for jobs, on nodes of its own: PID, mount and network namespaces with what a scheduler has there.

Slurm itself is not installed: a program of the daemon's name runs, sockets stand where slurmstepd makes them, and
``scontrol`` is a script that answers as Slurm's does.
"""

import os
import shutil
import subprocess  # noqa: TID251 - the probe looks at real processes
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for namespaces"),
    pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed"),
]

PROJECT = Path(__file__).resolve().parents[2]
SPOOL = "/var/spool/slurmd"
ASK = """
import sys
from nodeagent.config import Jobs
from nodeagent.jobs.probe import Probe
print(Probe(Jobs(**eval(sys.argv[1])))())
"""
LISTEN = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); "


UNKNOWN = "whether a job runs here cannot be told: /usr/local/sbin/busy"


class Node:
    """A shell script prepares it; then the probe is asked."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory / "bin"
        self.bin.mkdir()

    def says(self, prepare: str = "", **settings: object) -> str:
        script = f"""
            set -e
            mount -t tmpfs none /var/spool
            mount -t tmpfs none /opt
            mount -t tmpfs none /usr/local/sbin
            cp {self.bin}/* /usr/local/sbin/ 2>/dev/null || :
            {prepare}
            exec "$PYTHON" -c "$ASK" "$SETTINGS"
        """
        environment = {
            **os.environ,
            "PYTHON": sys.executable,
            "PYTHONPATH": str(PROJECT),
            "ASK": ASK,
            "LISTEN": LISTEN + "print(flush=True); s.accept()",
            "STALE": LISTEN,
            "SETTINGS": repr(settings),
        }
        command = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n").rpartition("\n")[2]

    def program(self, name: str, body: str = "exec sleep 600") -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.bin / name).chmod(0o755)


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def runs(name: str) -> str:
    """A process of that name."""
    return f"cp /bin/sleep /opt/{name}; /opt/{name} 600 & until [ $(cat /proc/$!/comm) = {name} ]; do :; done\n"


def step(job: int, *, directory: str = SPOOL, kind: str = "LISTEN") -> str:
    """A step's socket; with STALE nobody listens there any more."""
    path = f"{directory}/node1_{job}.4294967291"
    wait = "&" if kind == "LISTEN" else ""
    return f'mkdir -p {directory}; "$PYTHON" -c "${kind}" {path} >/dev/null {wait}\nuntil [ -S {path} ]; do :; done\n'


def test_a_node_without_any_scheduler_is_free(node):
    assert node.says() == ""


def test_none_asks_nobody(node):
    assert node.says(runs("pbs_mom"), probe="none") == ""


@pytest.mark.parametrize("name", ["pbs_mom", "sge_execd", "sbatchd", "condor_startd", "flux-broker-12", "kubelet"])
def test_a_node_with_another_scheduler_s_daemon_is_busy(node, name):
    assert node.says(runs(name)).startswith(f"{name} (")


def test_a_process_that_is_called_nearly_so_does_not_count(node):
    assert node.says(runs("pbs_moment") + runs("kubelet2")) == ""


# --- Slurm ---


def test_a_slurm_node_without_a_step_is_free(node):
    assert node.says(f"mkdir -p {SPOOL}/job00012; touch {SPOOL}/cred_state\n" + runs("slurmd")) == ""


def test_the_socket_of_a_step_tells_its_job(node):
    assert node.says(runs("slurmd") + step(17) + step(4)) == "Slurm job 4, 17 runs here"


def test_a_job_runs_on_while_slurmd_is_restarted(node):
    assert node.says(step(17)) == "Slurm job 17 runs here"


def test_a_socket_that_a_crash_left_is_no_job(node):
    assert node.says(runs("slurmd") + step(17, kind="STALE")) == ""


def test_the_spool_directory_is_the_configured_one(node):
    conf = "mkdir -p /opt/slurm/etc; echo 'slurmdspooldir = /opt/spool.%n' >/opt/slurm/etc/slurm.conf\n"
    assert node.says(conf + runs("slurmd") + step(17, directory="/opt/spool.node1")) == "Slurm job 17 runs here"


def test_the_name_that_a_step_gives_itself_tells_its_job(node):
    titled = """bash -c 'exec -a "slurmstepd: [17.batch]" sleep 600' &
                until grep -q '^slurmstepd: .17' /proc/$!/cmdline; do :; done"""
    assert node.says(titled) == "Slurm job 17 runs here"


def test_a_slurmd_whose_spool_directory_is_not_found_is_busy(node):
    assert "SlurmdSpoolDir is not found" in node.says(runs("slurmd"))


@pytest.mark.parametrize(
    ("scontrol", "said"),
    [
        ("echo JOBID; echo '17      '; echo '18      '", "Slurm job 17, 18 runs here"),
        ('echo "No slurmstepd\'s found on this node" >&2; exit 1', ""),
    ],
)
def test_scontrol_lists_the_jobs(node, scontrol, said):
    node.program("scontrol", f'[ "$1" = listjobs ] || exit 9\n{scontrol}')
    assert node.says(runs("slurmd")) == said


@pytest.mark.parametrize("scontrol", ["echo 'invalid keyword: listjobs' >&2; exit 1", "exit 0", "exec sleep 600"])
def test_a_scontrol_that_cannot_tell_leaves_it_to_the_spool_directory(node, scontrol):
    node.program("scontrol", scontrol)
    assert "cannot be told" in node.says(runs("slurmd"), timeout=0.5)
    assert node.says(f"mkdir -p {SPOOL}\n" + runs("slurmd"), timeout=0.5) == ""


def test_scontrol_that_sees_nothing_under_the_host_s_name_is_not_believed_against_a_socket(node):
    node.program("scontrol", 'echo "No slurmstepd\'s found on this node" >&2; exit 1')
    assert node.says(runs("slurmd") + step(17)) == "Slurm job 17 runs here"


# --- a command ---


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("exit 0", ""),
        ("echo all quiet; exit 0", ""),
        ("echo; echo two users are logged in; exit 1", "two users are logged in"),
        ("exit 1", "/usr/local/sbin/busy says that a job runs here"),
        (
            "echo no server >&2; exit 3",
            f"{UNKNOWN} exited with 3: no server",
        ),
        ("kill -9 $$", f"{UNKNOWN} exited with 137"),
    ],
)
def test_a_command_says_0_for_free_1_for_busy_and_else_that_it_does_not_know(node, body, said):
    node.program("busy", body)
    assert node.says(probe="command", command=["/usr/local/sbin/busy"]) == said


def test_a_command_without_an_answer_is_ended_with_all_that_it_started_and_means_busy(node):
    node.program("busy", "sleep 600 & sleep 600")
    said = node.says(probe="command", command=["/usr/local/sbin/busy"], timeout=0.5)
    assert said == f"{UNKNOWN} gave no answer"


def test_a_command_that_cannot_be_started_means_busy(node):
    said = node.says(probe="command", command=["/nothing/there"])
    assert said == "whether a job runs here cannot be told: /nothing/there gave no answer: No such file or directory"
