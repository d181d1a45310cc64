import os

import pytest

from nodeagent.apply.atomic import AtomicFile
from nodeagent.apply.batch import Batch, Staged


class Stager:
    """Stages files in one directory, and gathers what fails."""

    def __init__(self, top):
        self.top = top
        self.directory = os.open(top, os.O_RDONLY)
        self.failed = {}
        self.batch = Batch(failed=lambda path, error: self.failed.update({os.path.basename(path): error.errno}))

    def __call__(self, name, size=4):
        file = AtomicFile(self.directory, name)
        file.write(b"x" * size)
        file.complete(mode=0o640, uid=os.geteuid(), gid=os.getegid())
        path = str(self.top / name)
        self.batch.add(Staged(path=path, directory=self.directory, file=file, size=size, put=file.put))

    @property
    def names(self):
        return sorted(os.listdir(self.top))

    @property
    def placed(self):
        return [name for name in self.names if not name.startswith(".")]


@pytest.fixture
def stage(tmp_path):
    stager = Stager(tmp_path)
    yield stager
    stager.batch.drop()
    os.close(stager.directory)


@pytest.mark.parametrize("count", [0, 1, 8, 9, 100])
def test_staged_files_get_their_names_in_a_flush_and_not_before(stage, count):
    for n in range(count):
        stage(f"f{n:03}")
    assert stage.placed == []
    assert bool(stage.batch) is (count > 0)
    stage.batch.flush()
    assert stage.names == [f"f{n:03}" for n in range(count)]
    assert not stage.batch


def test_files_and_descriptors_are_bounded(stage):
    before = len(os.listdir("/proc/self/fd"))
    for n in range(300):
        stage(f"f{n:03}")
        assert len(os.listdir("/proc/self/fd")) <= before + 128
    assert len(stage.placed) == 256
    stage.batch.flush()
    assert len(stage.names) == 300
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_room_that_is_taken_twice_is_bounded(stage):
    for n in range(4):
        stage(f"f{n}", size=5 * 2**20)
    assert stage.placed == ["f0", "f1", "f2", "f3"]


def test_an_action_comes_behind_what_was_staged_before_it(stage):
    seen = []
    stage.batch.after(lambda: seen.append("nothing was staged"))
    assert seen == ["nothing was staged"]
    stage("a")
    stage.batch.after(lambda: seen.append(stage.names))
    stage.batch.after(lambda: seen.append("second"))
    assert len(seen) == 1
    stage.batch.flush()
    assert seen[1:] == [["a"], "second"]


def test_actions_are_bounded_as_each_may_hold_a_directory_open(stage):
    stage("a")
    seen = []
    for n in range(64):
        stage.batch.after(lambda n=n: seen.append(n))
    assert seen == list(range(64))
    assert stage.names == ["a"]


def test_a_batch_knows_the_directories_of_its_files(stage, tmp_path):
    stage("a")
    assert stage.batch.is_in(os.stat(tmp_path))
    assert not stage.batch.is_in(os.stat(tmp_path.parent))
    stage.batch.flush()
    assert not stage.batch.is_in(os.stat(tmp_path))


@pytest.mark.parametrize("count", [3, 20])
def test_a_file_that_cannot_have_its_name_fails_alone(stage, tmp_path, count):
    (tmp_path / "f1").mkdir()
    for n in range(count):
        stage(f"f{n}")
    stage.batch.flush()
    assert list(stage.failed) == ["f1"]
    assert stage.names == sorted(f"f{n}" for n in range(count))
    assert (tmp_path / "f1").is_dir()


def test_what_is_dropped_leaves_nothing_and_its_actions_are_done(stage):
    seen = []
    stage("a")
    stage.batch.after(lambda: seen.append("closed"))
    stage.batch.drop()
    assert stage.names == []
    assert seen == ["closed"]
