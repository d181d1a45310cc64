"""The postbootscript, run as xCAT runs it, in namespaces with a /run of their own."""

import os
import shutil
import subprocess  # noqa: TID251 - tests drive the real programs
from pathlib import Path

import pytest

from nodeagent.enroll import xcat

PASSWORD = "-Pass.Word_1"
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >>/run/called
exit "$(cat /run/systemctl.status 2>/dev/null || echo 0)"
"""
# Looks at everything that any process here shows to others.
NODEAGENT = """#!/bin/sh
echo "nodeagent $*" >>/run/called
cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' >/run/seen
env >>/run/seen
exit "$(cat /run/ready.status 2>/dev/null || echo 0)"
"""
# As run_ps of xCAT's mypostscript has it: the arguments are split, both outputs go into the log by a pipe.
RUN_PS = """
mount -t tmpfs -o mode=0755 tmpfs /run
if [ -e /usr/bin/systemctl ]; then mount --bind "$HERE/bin/systemctl" /usr/bin/systemctl; fi
for file in "$HERE"/run/*; do if [ -e "$file" ]; then cp "$file" /run/; fi; done
cd "$HERE/xcatpost"
export NODE=cn1 MASTER=10.0.0.1 GROUP="$(printf 'two\\nlines')"
$SHELL_OF_IT ./nodeagent-boot $(cat "$HERE/arguments") >"$HERE/log" 2>&1
status=$?
cp -p /run/* "$HERE/left/" 2>/dev/null
exit $status
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for namespaces")


class Boot:
    def __init__(self, here: Path) -> None:
        self.here = here
        for name in ("bin", "xcatpost", "left", "run"):
            (here / name).mkdir()
        for name, text in (("bin/systemctl", SYSTEMCTL), ("bin/nodeagent", NODEAGENT), ("run_ps", RUN_PS)):
            (here / name).write_text(text)
            (here / name).chmod(0o755)
        script = here / "xcatpost/nodeagent-boot"
        script.write_bytes(xcat.postbootscript(timeout=60).content)
        script.chmod(0o755)

    def run(self, arguments: str, *, by: str = "", around: tuple[str, ...] = ()) -> int:
        (self.here / "arguments").write_text(arguments)
        command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", *around, "sh", self.here / "run_ps"]
        path = f"{os.environ['PATH']}:{self.here}/bin"
        environment = {"HERE": str(self.here), "SHELL_OF_IT": by, "PATH": path}
        return subprocess.run(command, env=environment, check=False, timeout=50).returncode

    def left(self, name: str) -> str:
        return (self.here / "left" / name).read_text()

    @property
    def log(self) -> str:
        return (self.here / "log").read_text()


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    if shutil.which("nodeagent", path="/usr/sbin:/usr/bin:/sbin:/bin"):
        pytest.skip("nodeagent is installed on this machine")
    return Boot(tmp_path)


@pytest.mark.parametrize("by", ["", "dash", "bash", "busybox ash", "bash -x", "bash -xv", "dash -x", "busybox ash -x"])
def test_the_password_goes_into_a_private_file_in_memory_and_is_seen_nowhere(boot: Boot, by: str) -> None:
    assert boot.run(PASSWORD, by=by) == 0

    assert boot.left("nodeagent.password") == PASSWORD + "\n"
    assert (boot.here / "left/nodeagent.password").stat().st_mode & 0o777 == 0o600
    assert "nodeagent-boot" in boot.left("seen"), "it looked while the script waited"
    assert PASSWORD not in boot.left("seen") + boot.log + boot.left("called")
    assert boot.left("called").splitlines() == [
        "systemctl reload-or-restart nodeagent.service",
        "nodeagent ready --wait --timeout 60",
    ]


def test_no_program_that_it_starts_has_the_password_among_its_arguments(boot: Boot) -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    trace = boot.here / "trace"
    assert boot.run(PASSWORD, around=("strace", "-f", "-s", "4096", "-e", "trace=execve", "-o", str(trace))) == 0
    calls = [line for line in trace.read_text().splitlines() if "execve(" in line]
    assert len(calls) > 5
    with_password = [line for line in calls if PASSWORD in line]
    assert all('"./nodeagent-boot"' in line.split("execve(")[1].split(",")[0] for line in with_password)


@pytest.mark.parametrize("status", [0, 1])
def test_its_status_is_that_of_nodeagent_ready(boot: Boot, status: int) -> None:
    (boot.here / "run/ready.status").write_text(str(status))
    assert boot.run("") == status
    assert not (boot.here / "left/nodeagent.password").exists()


def test_a_password_from_before_is_replaced(boot: Boot) -> None:
    (boot.here / "run/nodeagent.password").write_text("old\n")
    assert boot.run(PASSWORD) == 0
    assert boot.left("nodeagent.password") == PASSWORD + "\n"
    assert boot.run("") == 0


def test_what_xcat_tells_its_scripts_is_kept_for_post_sh(boot: Boot) -> None:
    assert boot.run(PASSWORD) == 0
    assert boot.left("nodeagent.xcat").splitlines() == ["NODE=cn1", "MASTER=10.0.0.1"]


def test_a_service_that_does_not_start_is_a_failure_that_says_so(boot: Boot) -> None:
    (boot.here / "run/systemctl.status").write_text("1")
    assert boot.run(PASSWORD) == 1
    assert boot.log.splitlines() == ["nodeagent-boot: nodeagent.service does not start: see systemctl status nodeagent"]


def test_an_image_without_nodeagent_is_a_failure_that_says_so(boot: Boot) -> None:
    (boot.here / "bin/nodeagent").unlink()
    assert boot.run(PASSWORD) == 1
    assert "not in this image" in boot.log


def test_the_arguments_of_the_old_script_are_refused_without_being_shown(boot: Boot) -> None:
    assert boot.run(f"{PASSWORD} compute", by="bash -x") == 1
    assert boot.log.splitlines() == [
        "nodeagent-boot: one argument at most: arguments of post.sh are args in nodeagent.toml"
    ]


def test_an_empty_password_is_refused(boot: Boot) -> None:
    (boot.here / "run_ps").write_text(RUN_PS.replace('$(cat "$HERE/arguments")', '""'))
    assert boot.run("") == 1
    assert "the password is empty" in boot.log


def test_a_run_that_is_no_memory_gets_no_password(boot: Boot) -> None:
    on_disk = RUN_PS.replace(
        "mount -t tmpfs -o mode=0755 tmpfs /run", 'mkdir "$HERE/disk"; mount --bind "$HERE/disk" /run'
    )
    (boot.here / "run_ps").write_text(on_disk)
    name = subprocess.run(["stat", "-f", "-c", "%T", boot.here], capture_output=True, text=True, check=True).stdout
    if name.strip() in ("tmpfs", "ramfs"):
        pytest.skip("the tests' directory is in memory itself")
    assert boot.run(PASSWORD) == 1
    assert "not in memory" in boot.log
    assert not list((boot.here / "disk").glob("nodeagent.password*"))


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_shellcheck_has_nothing_to_say_about_what_is_written_for_xcat(tmp_path: Path, shell: str) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck")
    for file in (xcat.postbootscript(timeout=900), xcat.postinstall()):
        (tmp_path / "script").write_bytes(file.content)
        done = subprocess.run(
            ["shellcheck", "-s", shell, tmp_path / "script"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "")
