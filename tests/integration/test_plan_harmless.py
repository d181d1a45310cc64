"""A plan leaves the machine as it is, whatever post.sh does: files, mounts, network, processes, settings, sockets."""

import json
import os
import sys

import pytest

from testbed.programs import run
from testbed.witness import SOCKETS
from tests.unit.report import plan_document

pytestmark = pytest.mark.timeout(150)

NORMAL = """\
COPY() { mkdir -p "$(dirname "$2")"; rsync -a "$1" "$2"; }
COPY files/a /etc/plan/a
echo line >>/etc/hosts
echo whole >/srv/second/written
touch /etc/plan/touched
chmod 600 /etc/plan/a
"""
BOOT_ID = "/proc/sys/kernel/random/boot_id"
CONNECT = f"""\
import socket
for name in {SOCKETS!r}:
    try:
        socket.socket(socket.AF_UNIX).connect(name)
    except OSError:
        continue
    print("reached", repr(name))
"""
MISBEHAVING = {
    "removes /etc": "rm -rf /etc",
    "removes what is on a second file system": "rm -rf /srv/second/*",
    "removes everything": "rm -rf /usr/bin /usr/sbin /etc /srv /home",
    "writes to a disk": "dd if=/dev/zero of=/dev/disk bs=4 count=1",
    "makes a device": "mknod /srv/second/zero c 1 5 || mknod /dev/mem2 c 1 1",
    "removes and changes devices": "chmod 600 /dev/null; rm -f /dev/zero /dev/full; chown 1 /dev/random",
    "changes a setting": "sysctl -w kernel.printk_ratelimit=77; echo 77 >/proc/sys/kernel/printk_ratelimit",
    "kills everything": "kill -9 -1",
    "reboots": "reboot -f -f || reboot -f",
    "asks the kernel": "echo h >/proc/sysrq-trigger",
    "leaves a daemon": "setsid sleep 1000 >/dev/null 2>&1 &",
    "mounts": "mount -t tmpfs none /opt; mount --bind /etc /opt; mount -o remount,rw /sys; mount -o remount,rw /proc",
    "unmounts": "umount -l /srv/second; umount /; umount -a",
    "renames the host": "hostname other; echo other >/proc/sys/kernel/hostname",
    "uses the sockets of the node": f"{sys.executable} - <<'END'\n{CONNECT}END",
    "looks into the first process": "for f in /proc/1/fd/*; do cat <$f; echo x >$f; done; cat /proc/1/environ",
    "changes the network": "ip link add d type dummy; ip addr add 10.9.9.9/24 dev lo; ip link set lo down",
    "sets the clock": "date -s 2001-01-01",
    "loads a module": "modprobe dummy",
    "escapes by chroot": "mkdir /tmp/x; chroot /tmp/x /bin/true; nsenter -t 1 -m true; unshare -m true",
}


def site(directory, body, *, shebang="#!/bin/sh"):
    (directory / "files").mkdir(parents=True)
    (directory / "files/a").write_text("a\n")
    (directory / "post.sh").write_text(f"{shebang}\n{body}\n")
    (directory / "post.sh").chmod(0o755)
    return directory


SMALL = "from nodeagent.sandbox import enclosure; enclosure.MEMORY = '32m'; from nodeagent.cli.main import main; main()"


def witness(repository, *options, cgroups=False, program=("-m", "nodeagent")):
    command = [sys.executable, *program, "plan", "--repo", repository, "--json", *options]
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", WITNESS_CGROUPS="1" if cgroups else "")
    return json.loads(run([sys.executable, "-m", "testbed.witness", *command], env=environment, timeout=140))


@pytest.mark.parametrize("options", [[], ["--rehearse"]], ids=["plan", "rehearse"])
def test_a_normal_repository_is_planned_and_nothing_is_touched(tmp_path, options):
    seen = witness(site(tmp_path / "repo", NORMAL), "--diff", *options)
    plan_document.Plan.model_validate_json(seen["stdout"])
    assert (seen["status"], seen["touched"]) == (2, []), seen
    plan = json.loads(seen["stdout"])
    assert {c["path"]: c["change"] for c in plan["changes"]} == {
        "/etc/plan": "created", "/etc/plan/a": "created", "/etc/hosts": "updated", "/srv/second/written": "created",
    }  # fmt: skip
    assert [s["would_run"] for s in plan["steps"]] == [True, True]
    tree = {c["path"]: c["difference"] for c in plan.get("tree", [])}
    expected = {
        "/etc/hosts": "changed", "/etc/plan": "new", "/etc/plan/a": "new", "/etc/plan/touched": "new",
        "/srv/second/written": "new",
    }  # fmt: skip
    assert tree == (expected if options else {})


@pytest.mark.parametrize("name", MISBEHAVING)
def test_a_rehearsed_script_that_misbehaves_touches_nothing(tmp_path, name):
    body = f"sh -c 'echo begins'\nsh '{tmp_path}/step'\n"
    (tmp_path / "step").write_text(MISBEHAVING[name])
    seen = witness(site(tmp_path / "repo", body), "--rehearse")
    assert seen["touched"] == [], seen
    assert (seen["status"], seen["connections"]) == (2, []), seen
    steps = json.loads(seen["stdout"])["steps"]
    assert steps[0]["exit_status"] == 0
    assert "reached" not in seen["stderr"]


@pytest.mark.parametrize("cgroups", [False, True], ids=["counted", "cgroup"])
def test_a_flood_of_processes_is_ended_and_named(tmp_path, cgroups):
    body = "flood() { flood | flood & }\nflood\nsleep 600"
    seen = witness(site(tmp_path / "repo", body, shebang="#!/bin/bash"), "--rehearse", cgroups=cgroups)
    assert (seen["status"], seen["touched"]) == (1, []), seen
    assert "1000 processes at once" in seen["stderr"]


def test_a_script_that_fills_the_disk_fills_only_its_own(tmp_path):
    body = "dd if=/dev/zero of=/var/filler bs=1M count=100\ndd if=/dev/zero of=/run/filler bs=1M count=100\ntouch /x"
    seen = witness(site(tmp_path / "repo", body), "--rehearse", program=("-c", SMALL))
    assert (seen["status"], seen["touched"]) == (2, []), seen
    assert [step["exit_status"] for step in json.loads(seen["stdout"])["steps"]] == [1, 1, 0]


def test_what_the_shell_itself_does_without_a_rehearsal_touches_nothing_either(tmp_path):
    body = "if ! (rm -rf /etc /srv/second/* && exec 3>/srv/second/new); then :; fi\nx=$(umount -l /srv/second)"
    seen = witness(site(tmp_path / "repo", body))
    assert seen["touched"] == [], seen
    assert seen["status"] == 0


def test_a_container_that_has_a_boot_id_of_its_own_has_not_booted_since_the_apply(tmp_path):
    repository = site(tmp_path / "repo", "touch /etc/plan")
    agent = f"{sys.executable} -m nodeagent"
    command = (
        f"echo 00000000-0000-4000-8000-000000000000 >{tmp_path}/id; mount --bind {tmp_path}/id {BOOT_ID}\n"
        f"{agent} apply --repo {repository} --state {tmp_path}/state >&2 || exit\n"
        f"{agent} plan --repo {repository} --state {tmp_path}/state --json"
    )
    seen = json.loads(run([sys.executable, "-m", "testbed.witness", "sh", "-c", command], timeout=140))
    assert seen["status"] == 0, seen
    assert [step["would_run"] for step in json.loads(seen["stdout"])["steps"]] == [False]


def test_what_a_rehearsed_script_logs_is_told_and_reaches_no_log(tmp_path):
    body = "sh -c 'logger -t scratch told && touch /etc/logged'"
    seen = witness(site(tmp_path / "repo", body), "--rehearse")
    assert [step["exit_status"] for step in json.loads(seen["stdout"])["steps"]] == [0]
    assert "scratch: told\n" in seen["stderr"]
    assert "/etc/logged" in seen["stdout"]
    assert (seen["touched"], seen["connections"]) == ([], [])


WAITS = """touch /etc/plan
until [ -e /etc/plan ]; do
  sleep 0.1
done
touch /etc/below
"""


def test_a_loop_that_waits_for_a_step_is_ended_and_named_and_a_rehearsal_comes_to_its_end(tmp_path):
    repository = site(tmp_path / "repo", WAITS)
    seen = witness(repository, "--timeout", "1")
    plan = json.loads(seen["stdout"])
    assert (seen["status"], plan["finished"]) == (2, False), seen
    assert plan["incomplete"].startswith(
        "post.sh waits in line 3 for what a step would do that was not run: ended after"
    )
    assert [step["command"] for step in plan["steps"]] == ["touch /etc/plan"]
    plan = json.loads(witness(repository, "--rehearse")["stdout"])
    assert (plan["finished"], plan["incomplete"], plan["exit_status"]) == (True, "", 0)


def test_a_plan_that_comes_to_no_end_is_not_taken_for_one_without_a_change(tmp_path):
    seen = witness(site(tmp_path / "repo", "while :; do :; done"), "--timeout", "1")
    plan = json.loads(seen["stdout"])
    assert (seen["status"], plan["changes"], plan["steps"]) == (2, [], [])
    assert "waits in line 2" in plan["incomplete"]


def test_the_turns_of_a_loop_are_one_step(tmp_path):
    seen = witness(site(tmp_path / "repo", "for n in 1 2 3; do touch /etc/$n; done"))
    assert [(s["command"], s["times"]) for s in json.loads(seen["stdout"])["steps"]] == [("touch /etc/$n", 3)]


def test_a_job_on_the_node_is_seen_though_nothing_of_it_is_inside(tmp_path):
    repository = site(tmp_path / "repo", "touch /etc/plan")
    pbs = tmp_path / "pbs_mom"  # a scheduler's daemon: the node is busy, whatever its jobs are
    pbs.symlink_to("/bin/sleep")
    command = f"{pbs} 60 >/dev/null 2>&1 & exec {sys.executable} -m nodeagent plan --repo {repository} --json"
    seen = json.loads(run([sys.executable, "-m", "testbed.witness", "sh", "-c", command], timeout=140))
    (step,) = json.loads(seen["stdout"])["steps"]
    assert (step["would_run"], seen["status"]) == (False, 0), seen
    assert "pbs_mom" in step["reason"]
