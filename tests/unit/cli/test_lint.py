import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from nodeagent.cli import lint as _imported_as_root  # noqa: F401 - another user may not see where it is
from nodeagent.cli import main
from nodeagent.workers import child

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "postscripts").mkdir()
    write(tmp_path, "post.sh", "#!/bin/sh\ntrue\n")
    return tmp_path


def write(top: Path, path: str, text: str) -> None:
    (top / path).write_text(text)
    (top / path).chmod(0o755)


def test_a_clean_repository_is_exit_code_0_and_says_nothing(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.call(["lint", "--strict", str(repository)]) == 0
    assert capsys.readouterr() == ("", "")


def test_an_error_is_exit_code_1(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, "post.sh", "#!/bin/sh\nif true; then\n")
    assert main.call(["lint", str(repository)]) == 1
    assert capsys.readouterr().out.startswith("post.sh:3:1: error: dash -n refuses it: ")


def test_a_warning_is_exit_code_1_only_when_strict(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, "post.sh", "#!/bin/sh\n  ln -s /a /opt/a\n")
    assert main.call(["lint", str(repository)]) == 0
    assert main.call(["lint", str(repository), "--strict"]) == 1
    first, mend = capsys.readouterr().out.splitlines()[:2]
    assert first.startswith("post.sh:2:3: warning: ln -s /a /opt/a: ")
    assert first.endswith(" [ln-sfn]")
    assert mend == "    ln -sfn SOURCE DESTINATION"


def test_the_current_directory_is_the_default(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    assert main.call(["lint"]) == 0


def test_json_is_whole_with_and_without_findings(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.call(["lint", str(repository), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "findings": []}
    write(repository, "post.sh", "#!/bin/sh\nln -s /a /opt/a\n")
    main.call(["lint", str(repository), "--format", "json"])
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert set(finding) == {"id", "severity", "file", "line", "column", "message", "fix"}
    assert (finding["id"], finding["severity"], finding["line"]) == ("ln-sfn", "warning", 2)


def test_github_gets_workflow_commands(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(repository))
    write(repository, "post.sh", "#!/bin/sh\nln -s /a /opt/a\n")
    main.call(["lint", str(repository), "--format", "github"])
    assert capsys.readouterr().out.startswith("::warning file=post.sh,line=2,col=1,title=nodeagent lint%3A ln-sfn::ln ")


@pytest.mark.parametrize("variable", [True, False])
def test_github_gets_paths_as_of_the_top_of_the_checkout(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: bool
) -> None:
    shutil.copytree(repository, repository / "site/nodes")
    write(repository, "site/nodes/post.sh", "#!/bin/sh\nln -s /a /opt/a\n")
    monkeypatch.chdir(repository / "site" if variable else repository)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(repository) if variable else "")
    main.call(["lint", "nodes" if variable else "site/nodes", "--format", "github"])
    assert capsys.readouterr().out.startswith("::warning file=site/nodes/post.sh,line=2,")


def test_a_missing_directory_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.call(["lint", str(tmp_path / "none")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"nodeagent: {tmp_path}/none: cannot be read: No such file or directory: name the directory of a repository\n"
    )


def test_a_missing_post_sh_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.call(["lint", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"nodeagent: {tmp_path}: has no post.sh: ")


def test_nothing_of_the_repository_is_changed_or_run(repository: Path) -> None:
    write(repository, "post.sh", f"#!/bin/sh\ntouch {repository}/ran\njob\n")
    write(repository, "postscripts/job", f"#!/bin/bash\ntouch {repository}/ran\n")
    before = sorted(repository.rglob("*"))
    main.call(["lint", str(repository)])
    assert sorted(repository.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_no_root_is_needed(repository: Path) -> None:
    place = Path("/tmp") / f"lint-{os.getpid()}"
    shutil.copytree(repository, place)
    try:
        place.chmod(0o755)

        def verb() -> None:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the child's own: it has none of the test's
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os._exit(main.call(["lint", "--strict", str(place)]))

        process = child.fork(verb, keep=[], session=True)
        assert process.wait(time.monotonic() + 30)
        assert process.ending() == ""
        process.reap()
    finally:
        shutil.rmtree(place)


# What lint says of the example repositories; each was looked at, and is true.
KNOWN = {
    "tests/fixtures/guide": {
        "post.sh:25 cd-subshell-exit",
        "post.sh:32 restart-without-on",
        "post.sh:40 placeholder-copied",
        "post.sh:49 cd-subshell-exit",
        "post.sh:53 dirty-checkout",
        "postscripts/fs_mount:3 append-in-script",
        "postscripts/fs_mount:8 ln-sfn",
        "postscripts/ldap:4 restart-without-on",
        "postscripts/slurm:10 restart-without-on",
    },
    "tests/fixtures/template": {
        "post.sh:28 cd-subshell-exit",
        "post.sh:34 missing-source",
        "post.sh:36 placeholder-copied",
        "post.sh:40 restart-without-on",
        "post.sh:42 placeholder-copied",
        "post.sh:45 restart-without-on",
        "post.sh:52 cd-subshell-exit",
        "post.sh:56 dirty-checkout",
        "post.sh:65 missing-source",
        "postscripts/disable-services:1 not-executable",
        "postscripts/fs_mount:3 append-in-script",
        "postscripts/fs_mount:9 ln-sfn",
        "postscripts/install-tool:1 not-executable",
        "postscripts/ldap:4 restart-without-on",
        "postscripts/ldap:5 restart-without-on",
        "postscripts/symlink-ca:1 not-executable",
        "postscripts/symlink-ca:4 ln-sfn",
    },
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_faults_of_the_guide_and_the_template_are_found_and_nothing_else(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.call(["lint", str(PROJECT / name), "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert {f"{f['file']}:{f['line']} {f['id']}" for f in found} == KNOWN[name]


def test_the_example_repository_has_no_error() -> None:
    assert main.call(["lint", str(PROJECT / "examples/compute-configs")]) == 0
