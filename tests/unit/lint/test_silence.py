import pytest

from .conftest import Lint

LINK = "ln -s /a /opt/a"


@pytest.mark.parametrize(
    "text",
    [
        f"{LINK} # nodeagent: ignore=ln-sfn\n",
        f"# nodeagent: ignore=ln-sfn\n{LINK}\n",
        f"{LINK} # nodeagent: idle ignore=crlf,ln-sfn\n",
        f"if x; then\n  # nodeagent: ignore=ln-sfn\n  {LINK}\nfi\n",
    ],
)
def test_a_comment_on_the_line_or_alone_above_silences(linted: Lint, text: str) -> None:
    assert linted({"post.sh": "#!/bin/sh\n" + text}) == []


@pytest.mark.parametrize(
    "text",
    [
        f"{LINK} # nodeagent: ignore=crlf\n",
        f"x # nodeagent: ignore=ln-sfn\n{LINK}\n",
        f"# nodeagent: ignore=ln-sfn\n\n{LINK}\n",
        f"{LINK}\n# nodeagent: ignore=ln-sfn\n",
    ],
)
def test_a_comment_anywhere_else_does_not_silence(linted: Lint, text: str) -> None:
    assert [finding.id for finding in linted({"post.sh": "#!/bin/sh\n" + text})] == ["ln-sfn"]


@pytest.mark.parametrize("text", [f"{LINK} # nodeagent: ignore=ln-sfn\n", f"# nodeagent: ignore=ln-sfn\n{LINK}\n"])
def test_a_comment_silences_in_a_sourced_file_what_is_found_there(linted: Lint, text: str) -> None:
    assert linted({"post.sh": "#!/bin/sh\n. ./lib.sh\n", "lib.sh": text}) == []
    (found,) = linted({"post.sh": "#!/bin/sh\n# nodeagent: ignore=ln-sfn\n. ./lib.sh\n", "lib.sh": LINK + "\n"})
    assert (found.id, found.file) == ("ln-sfn", "lib.sh")


def test_what_is_said_of_a_whole_file_is_silenced_on_its_second_line(linted: Lint) -> None:
    files = {"post.sh": "#!/bin/sh\n# nodeagent: ignore=not-executable\nx\n"}
    assert linted(files, plain=["post.sh"]) == []


def test_a_program_that_does_not_parse_can_silence_too(linted: Lint) -> None:
    assert linted({"post.sh": "#!/bin/sh\nif true; then # nodeagent: ignore=unparsable\n"}) == []


def test_a_data_file_can_silence_too(linted: Lint) -> None:
    files = {"post.sh": "#!/bin/sh\n", "files/a.conf": "# nodeagent: ignore=secret-in-clear\npassword = hunter22\n"}
    assert linted(files) == []
