import os
import subprocess  # noqa: TID251 - tests drive the real git

import pytest

from nodeagent.source.libgit2 import pygit2
from nodeagent.source.store import settings
from nodeagent.source.store.git import Store

EVIL = '[url "file:///srv/evil"]\n\tinsteadOf = https://git.example/r\n[http]\n\tfollowRedirects = true\n'


@pytest.fixture
def store(tmp_path):
    return Store.anew(tmp_path / "store.git").path


def config_of(store):
    return (store / "config").read_bytes()


def test_what_somebody_wrote_into_a_stores_settings_is_gone_when_it_is_opened(store):
    sound = config_of(store)
    with open(store / "config", "a") as file:
        file.write(EVIL)
    opened = Store.open(store)
    assert config_of(store) == sound
    assert opened._repository.remotes.create_anonymous("https://git.example/r").url == "https://git.example/r"
    assert opened._repository.config["http.followRedirects"] == "false"


def test_git_and_libgit2_take_the_text_for_a_bare_repositorys(store):
    command = ["git", "-c", "safe.directory=*", "-C", store, "config", "--bool", "core.bare"]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b"true\n"
    assert pygit2.Repository(str(store)).is_bare


@pytest.mark.parametrize("name", ["config.worktree", "commondir", "objects/info/alternates", "hooks/post-update"])
def test_files_by_which_git_looks_or_runs_elsewhere_are_removed(store, name):
    (store / name).parent.mkdir(exist_ok=True)
    (store / name).write_text("/evil\n")
    Store.open(store)
    assert not (store / name).exists()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/etc/passwd", path), None])
def test_settings_that_are_no_file_are_replaced_and_nothing_waits(store, make):
    sound = config_of(store)
    (store / "config").unlink()
    if make:
        make(store / "config")
    settings.fix(store)
    assert not (store / "config").is_symlink()
    assert config_of(store) == sound
    assert not list(store.glob("*.lock"))


def test_sound_settings_are_not_written_again(store):
    before = os.stat(store / "config")
    Store.open(store)
    assert os.stat(store / "config") == before
