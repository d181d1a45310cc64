import json
import os
import time
from pathlib import Path

import pytest

from nodeagent.model.outcomes import Condition, ConditionType, Mode, Status
from nodeagent.report import status

STATUS = Status(
    version="1.2",
    mode=Mode.APPLYING,
    url="ssh://git@host/repo",
    attempted="main@sha1:bbb",
    applied="main@sha1:aaa",
    conditions=(
        Condition(type=ConditionType.READY, status=False, reason="NotYetApplied", message="not yet", since=10),
        Condition(type=ConditionType.STALLED, status=True, reason="HostKeyMismatch", message="other\nkey", since=20),
    ),
    failed_steps=("post.sh:3 RUN a",),
    pending=("post.sh:4 RUN b", "post.sh:5 RUN c"),
    destinations=7,
    next_poll=1_700_000_000,
    last_poll=1_699_999_000,
)


def test_the_layout_is_the_one_that_scripts_rely_on() -> None:
    assert json.loads(json.dumps(status.to_json(STATUS))) == {
        "schema": 1,
        "version": "1.2",
        "mode": "applying",
        "url": "ssh://git@host/repo",
        "revision": {"attempted": "main@sha1:bbb", "applied": "main@sha1:aaa"},
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "NotYetApplied", "message": "not yet", "since": 10},
            {"type": "Stalled", "status": "True", "reason": "HostKeyMismatch", "message": "other\nkey", "since": 20},
        ],
        "failed": ["post.sh:3 RUN a"],
        "pending": ["post.sh:4 RUN b", "post.sh:5 RUN c"],
        "destinations": 7,
        "remarks": [],
        "next_poll": 1_700_000_000,
        "last_poll": 1_699_999_000,
        "last_beacon": None,
    }


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    status.write(tmp_path, STATUS)
    assert status.read(tmp_path) == STATUS


def test_the_file_is_readable_for_all_and_nothing_else_is_left(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        status.write(tmp_path, STATUS)
        status.write(tmp_path, STATUS)
    finally:
        os.umask(before)
    assert os.listdir(tmp_path) == ["status.json"]
    assert (tmp_path / "status.json").stat().st_mode & 0o777 == 0o644


def test_a_directory_that_takes_nothing_is_an_error_and_keeps_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "status.json").mkdir()
    with pytest.raises(OSError, match=r"status\.json"):
        status.write(tmp_path, STATUS)
    assert os.listdir(tmp_path) == ["status.json"]
    with pytest.raises(FileNotFoundError):
        status.write(tmp_path / "gone", STATUS)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "boot_id": "another"}', "3"]
)
def test_what_is_not_of_this_boot_and_schema_is_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "status.json").write_text(text)
    assert status.read(tmp_path) is None


def test_a_damaged_file_of_this_boot_is_nothing(tmp_path: Path) -> None:
    status.write(tmp_path, STATUS)
    raw = json.loads((tmp_path / "status.json").read_text())
    for key in raw:
        (tmp_path / "status.json").write_text(json.dumps({**raw, key: {"no": "sense"}}))
        assert status.read(tmp_path) is None or key in {
            "version",
            "url",
            "destinations",
            "next_poll",
            "last_poll",
            "last_beacon",
            "failed",
            "pending",
            "remarks",
        }
        (tmp_path / "status.json").write_text(json.dumps({k: v for k, v in raw.items() if k != key}))
        assert status.read(tmp_path) is None or key.startswith("last_")  # of a daemon that did not know them yet


def test_the_one_line_names_revisions_conditions_counts_and_the_next_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert status.line(STATUS) == (
        "main@sha1:aaa; attempted main@sha1:bbb; not Ready (NotYetApplied); Stalled (HostKeyMismatch: other\nkey); "
        "1 failed; 2 pending; next poll 22:13:20"
    )


def test_the_one_line_of_a_new_node() -> None:
    new = Status(version="1", mode=Mode.APPLYING, url="u", attempted="", applied="")
    assert status.line(new) == "nothing applied yet"
