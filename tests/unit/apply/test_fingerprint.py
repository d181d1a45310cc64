import os
import time

from nodeagent.apply.fingerprint import before_reading, fingerprint


def settled(path):
    """Its stat, once the clock of its filesystem has gone on."""
    deadline = time.monotonic() + 10
    while not before_reading(os.stat(path)) and time.monotonic() < deadline:
        os.sched_yield()
    return os.stat(path)


def test_a_file_that_has_just_changed_cannot_be_known_again(tmp_path):
    (tmp_path / "f").write_text("a")
    assert before_reading(os.stat(tmp_path / "f")) == b""


def test_an_untouched_file_is_known_again(tmp_path):
    (tmp_path / "f").write_text("a")
    read = before_reading(settled(tmp_path / "f"))
    assert read == fingerprint(os.lstat(tmp_path / "f"))


def test_whatever_is_done_to_a_file_gives_it_another_fingerprint(tmp_path):
    path = tmp_path / "f"

    def replaced():
        (tmp_path / "g").write_text("a")
        os.rename(tmp_path / "g", path)

    def written_with_its_old_time():
        before = os.stat(path)
        path.write_text("b")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    path.write_text("a")
    for change in (replaced, written_with_its_old_time, lambda: path.chmod(0o600), lambda: os.chown(path, 1, 1)):
        before = before_reading(settled(path))
        assert before
        change()
        assert fingerprint(os.stat(path)) != before
