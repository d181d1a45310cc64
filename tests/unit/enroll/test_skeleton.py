import os
from pathlib import Path

import pytest

from nodeagent.enroll import skeleton
from nodeagent.enroll.skeleton import Ci
from nodeagent.errors import InvalidConfiguration

CI_FILES = {".github/workflows/lint.yml", ".gitlab-ci.yml"}


def paths(top: Path) -> set[str]:
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("ci", "expected"),
    [(Ci.GITHUB, {".github/workflows/lint.yml"}), (Ci.GITLAB, {".gitlab-ci.yml"}), (Ci.NONE, set())],
)
def test_the_chosen_service_lints_it_and_no_other(tmp_path: Path, ci: Ci, expected: set[str]) -> None:
    skeleton.write(tmp_path / "new", ci)
    assert paths(tmp_path / "new") & CI_FILES == expected
    for path in expected:
        assert "nodeagent" in (tmp_path / "new" / path).read_text()
        assert "lint --strict" in (tmp_path / "new" / path).read_text()


def test_it_has_the_layout_of_the_guide(tmp_path: Path) -> None:
    skeleton.write(tmp_path, Ci.NONE)
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "post.sh", "files", "postscripts"}


def test_programs_are_executable_and_nothing_else_is(tmp_path: Path) -> None:
    written = skeleton.write(tmp_path, Ci.GITHUB)
    executable = {str(path.relative_to(tmp_path)) for path in written if os.access(path, os.X_OK) and _bits(path)}
    assert executable == {"post.sh", "postscripts/set-role"}


def _bits(path: Path) -> int:
    return path.stat().st_mode & 0o111


def test_every_template_is_used(tmp_path: Path) -> None:
    templates = Path(skeleton.__file__).parent / "template"
    used = {file.content for ci in Ci for file in skeleton.skeleton(ci)}
    assert {path.read_bytes() for path in templates.rglob("*") if path.is_file()} == used


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    written = skeleton.write(tmp_path / "empty", Ci.NONE)
    assert paths(tmp_path / "empty") == {str(path.relative_to(tmp_path / "empty")) for path in written}


def test_a_repository_that_git_has_just_begun_is_filled(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    skeleton.write(tmp_path, Ci.NONE)
    assert (tmp_path / "post.sh").is_file()


def test_a_post_sh_that_is_there_is_to_be_linted(tmp_path: Path) -> None:
    (tmp_path / "post.sh").write_text("mine")
    with pytest.raises(InvalidConfiguration, match=r"or let nodeagent lint .* read the post\.sh that is there"):
        skeleton.write(tmp_path, Ci.NONE)


@pytest.mark.parametrize("name", ["file", ".github"])
def test_a_directory_that_holds_anything_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(InvalidConfiguration, match="is not empty"):
        skeleton.write(tmp_path, Ci.NONE)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidConfiguration, match=r"file: cannot be written: Not a directory"):
        skeleton.write(tmp_path / "file", Ci.NONE)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_link_that_leads_nowhere_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(InvalidConfiguration, match=r"link: cannot be written: File exists"):
        skeleton.write(tmp_path / "link", Ci.NONE)
    assert not (tmp_path / "nowhere").exists()


def test_what_was_written_goes_when_the_rest_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clash = skeleton.File(path="README.md/below", content=b"")
    all_files = [*skeleton.skeleton(Ci.NONE), clash]
    monkeypatch.setattr(skeleton, "skeleton", lambda _ci: iter(all_files))
    with pytest.raises(InvalidConfiguration, match="cannot be written"):
        skeleton.write(tmp_path / "a/b", Ci.NONE)
    assert list(tmp_path.iterdir()) == []
