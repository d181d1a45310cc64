from pathlib import Path

import pytest

from nodeagent.lint.finding import Severity
from nodeagent.lint.rules.understanding import Verdict
from nodeagent.lint.syntax import asking

from .conftest import Lint

BROKEN = "#!/bin/sh\necho a\nif true; then\n  echo b\n"


@pytest.mark.parametrize(
    ("shell", "asked"), [("sh", {"dash", "bash"}), ("bash", {"bash"}), ("dash", {"dash"}), ("ash", {"busybox"})]
)
def test_the_shells_of_a_program_are_asked_and_name_the_line(tmp_path: Path, shell: str, asked: set[str]) -> None:
    (tmp_path / "good").write_text("#!/bin/sh\necho a\n")
    (tmp_path / "bad").write_text("#!/bin/sh\necho a\n)\n")
    ask = asking(tmp_path)
    assert {(v.shell, v.line) for v in ask("good", shell)} == {(name, None) for name in asked}
    bad = ask("bad", shell)
    assert {v.shell for v in bad} == asked
    assert {v.line for v in bad} <= ({0, 3} if shell == "ash" else {3})


def test_nothing_of_the_program_is_run(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(f"echo $(touch {tmp_path}/ran)\ntouch {tmp_path}/ran\n")
    for shell in ("sh", "bash", "ash"):
        asking(tmp_path)("x", shell)
    assert not (tmp_path / "ran").exists()


def test_an_unknown_shell_is_not_asked(tmp_path: Path) -> None:
    assert list(asking(tmp_path)("x", "")) == []


def test_what_every_shell_refuses_is_an_error_on_its_line(linted: Lint) -> None:
    refused = [Verdict(shell="dash", line=5, message="end of file"), Verdict(shell="bash", line=5, message="x")]
    (finding,) = linted({"post.sh": BROKEN}, syntax=lambda _file, _shell: refused)
    assert (finding.id, finding.line, finding.severity) == ("unparsable", 5, Severity.ERROR)
    assert "dash -n refuses it: end of file" in finding.message


def test_what_only_one_sh_refuses_is_a_warning_that_names_both(linted: Lint) -> None:
    verdicts = [Verdict(shell="dash", line=2, message='"(" unexpected'), Verdict(shell="bash", line=None)]
    (finding,) = linted({"post.sh": "#!/bin/sh\na=(1 2)\n"}, syntax=lambda _file, _shell: verdicts)
    assert (finding.line, finding.severity) == (2, Severity.WARNING)
    assert "bash takes it" in finding.message


def test_what_only_the_grammar_refuses_is_a_warning_in_post_sh_and_nothing_in_a_script(linted: Lint) -> None:
    files = {"post.sh": "#!/bin/sh\necho $[1 + 2]\n"}
    (finding,) = linted(files, syntax=lambda _file, _shell: [Verdict(shell="dash", line=None)])
    assert (finding.id, finding.severity) == ("unparsable", Severity.WARNING)
    files = {"post.sh": "#!/bin/sh\n", "postscripts/a": files["post.sh"]}
    assert linted(files, syntax=lambda _file, _shell: [Verdict(shell="dash", line=None)]) == []
