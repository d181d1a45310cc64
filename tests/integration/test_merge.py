"""MERGE: the agent's does what the documented shell function does, and takes back what it did."""

import subprocess  # noqa: TID251 - tests drive the real programs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeagent.apply.entries import entries_of, merge
from nodeagent.model.evaluation import Change, Scope
from nodeagent.model.events import Notice
from testbed import documents

BLOCK = next(text for name, _, text in documents.blocks("docs/spec.md") if name == "merge")
FUNCTION = BLOCK[: BLOCK.index("\n}\n") + 3]
BASE = "root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/root/bob:/bin/sh\n"

names = st.sampled_from([b"a", b"b", b"root", b"+", b"+@n", b"-x", b"# n", b"", b" s", b"\tt"])
entry = st.builds(b":".join, st.tuples(names, st.sampled_from([b"1", b"2", b"x:y", b"", b"\r", b"$1 & \\n"])))
lines = st.lists(entry | st.sampled_from([b"", b"plain", b"+", b"#"]), max_size=7)
texts = st.builds(lambda found, end: b"\n".join(found) + end, lines, st.sampled_from([b"", b"\n"]))


@pytest.mark.parametrize("awk", ["awk", "busybox awk"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=texts, there=texts)
def test_the_shell_function_leaves_what_the_agent_leaves(tmp_path, awk, entries, there):
    (tmp_path / "entries").write_bytes(entries)
    (tmp_path / "there").write_bytes(there)
    program = f'awk() {{ command {awk} "$@"; }}\n{FUNCTION}\nMERGE entries there\n'
    subprocess.run(["sh", "-c", program], cwd=tmp_path, check=True)
    assert (tmp_path / "there").read_bytes() == merge(there, entries_of(entries))


@pytest.fixture
def merging(local):
    """Apply a post.sh that merges an entries file into passwd; the evaluation and what passwd then holds."""
    passwd = local.root / "passwd"
    passwd.write_text(BASE)

    def run(entries, body="MERGE files/passwd $D/passwd", **wishes):
        (local.repository / "files/passwd").write_text(entries)
        return local.apply(f"{FUNCTION}{body}", **wishes), passwd.read_text()

    return run


def test_an_entry_that_is_dropped_goes_and_what_it_replaced_comes_back(local, merging):
    first, text = merging("root:x:0:0::/root:/bin/bash\nann:x:1:1:::\n")
    assert text == BASE.replace("/bin/sh", "/bin/bash", 1) + "ann:x:1:1:::\n"
    assert [(s.phase, s.change) for s in first.steps] == [("MERGE", Change.UPDATED)]
    assert merging("cat:x:2:2:::\n")[1] == BASE + "cat:x:2:2:::\n"
    assert merging("# nobody\n")[1] == BASE


def test_a_second_apply_does_nothing(local, merging):
    merging("ann:x:1:1:::\n")
    before = (local.root / "passwd").stat()
    for wishes in ({}, {"force": True}):
        again, _ = merging("ann:x:1:1:::\n", **wishes)
        assert not again.changed
    assert (local.root / "passwd").stat() == before


def test_drift_of_entries_alone_is_repaired(local, merging):
    merging("root:x:0:0::/root:/bin/bash\nann:x:1:1:::\n")
    (local.root / "passwd").write_text(f"root:x:0:0::/root:/bin/zsh\n{BASE}new:x:9:9:::\n")
    done, text = merging("root:x:0:0::/root:/bin/bash\nann:x:1:1:::\n")
    assert done.scope is Scope.REPAIR
    assert text.split("\n") == [
        "root:x:0:0::/root:/bin/bash",
        BASE.split("\n")[1],
        "new:x:9:9:::",
        "ann:x:1:1:::",
        "",
    ]


def test_a_repair_leaves_what_a_later_step_made_of_an_entry(local, merging):
    body = "MERGE files/passwd $D/passwd\nsed -i s,/bin/bash,/bin/zsh, $D/passwd"
    _, first = merging("root:x:0:0::/root:/bin/bash\nann:x:1:1:::\n", body)
    (local.root / "passwd").write_text(first.replace("ann:x:1:1:::\n", "new:x:9:9:::\n"))
    _, text = merging("root:x:0:0::/root:/bin/bash\nann:x:1:1:::\n", body)
    assert text == BASE.replace("/bin/sh", "/bin/zsh", 1) + "new:x:9:9:::\nann:x:1:1:::\n"


def test_undo_takes_out_what_was_added_and_restores_what_was_replaced(local, merging, verb):
    merging("root:x:0:0::/root:/bin/bash\nann:x:1:1:::\n")
    with (local.root / "passwd").open("a") as file:
        file.write("new:x:9:9:::\n")
    verb("undo", local.root / "passwd")
    assert (local.root / "passwd").read_text() == f"{BASE}new:x:9:9:::\n"
    assert merging("root:x:0:0::/root:/bin/bash\n")[1] == f"{BASE}new:x:9:9:::\n"  # it stays undone


def test_undo_leaves_an_entry_that_somebody_changed_and_says_so(local, merging, verb):
    merging("ann:x:1:1:::\n")
    (local.root / "passwd").write_text(f"{BASE}ann:x:1:1:::/bin/sh\n")
    assert "but for 1 that do not stand there as added" in verb("undo", local.root / "passwd")
    assert (local.root / "passwd").read_text() == f"{BASE}ann:x:1:1:::/bin/sh\n"


@pytest.mark.parametrize("prune", ["report", True, False])
@pytest.mark.parametrize("rest", ["true", "echo new:x:9:9::: >>$D/passwd"])
def test_what_a_merge_that_is_gone_has_left_stays_and_is_told_once_by_name(local, merging, verb, prune, rest):
    merging("root:x:0:0::/root:/bin/bash\nann:secret:1:1:::\ncat:x:2:2:::\n")
    (local.root / "passwd").write_text((local.root / "passwd").read_text().replace("cat:x:2", "cat:x:3"))
    told = []
    for _ in range(2):
        _, text = merging("", rest, prune=prune)
        told += [event.text for event in local.events if isinstance(event, Notice)]
        assert "ann:secret:1:1:::\n" in text
    start = "no step of post.sh names it any more: entries merged into"
    expected = f"{start} {local.root}/passwd (root, ann), placed by post.sh:"
    assert [line.startswith(expected) and "MERGE files/passwd $D/passwd: " in line for line in told] == (
        [True] if prune is not False else []
    )
    assert not any("secret" in line for line in told)
    verb("undo", local.root / "passwd")
    assert "ann" not in (local.root / "passwd").read_text()
