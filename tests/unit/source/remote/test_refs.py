import pytest

from nodeagent.errors import ReferenceNotFound
from nodeagent.source.remote.refs import find

A, B, C = "a" * 40, "b" * 40, "c" * 40
HEADS = {"HEAD": A, "refs/heads/main": A, "refs/tags/main": B, "refs/tags/v1": B, "refs/tags/v1^{}": C}


@pytest.mark.parametrize(
    ("ref", "name", "commit", "shown"),
    [
        ("main", "refs/heads/main", A, "branch main"),
        ("refs/tags/main", "refs/tags/main", B, "ref refs/tags/main"),
        ("v1", "refs/tags/v1", C, "tag v1"),
        (A, "refs/heads/main", A, f"commit {A}"),
        (C, "refs/tags/v1", C, f"commit {C}"),
        ("d" * 40, "", "d" * 40, f"commit {'d' * 40}"),
    ],
)
def test_a_name_means_a_branch_then_a_tag_or_a_commit(ref: str, name: str, commit: str, shown: str) -> None:
    target = find("url", HEADS, ref)
    assert (target.name, target.commit, target.shown) == (name, commit, shown)


@pytest.mark.parametrize("ref", ["HEAD", "v2", "heads/main", "v1^{}", A[:12]])
def test_what_is_no_ref_is_refused_with_what_there_is(ref: str) -> None:
    with pytest.raises(ReferenceNotFound, match=r"branches: main; tags: main, v1"):
        find("url", HEADS, ref)


def test_an_empty_repository_is_told_from_a_missing_branch() -> None:
    with pytest.raises(ReferenceNotFound, match="is empty"):
        find("url", {}, "main")


def test_of_many_names_a_few_are_shown() -> None:
    heads = {f"refs/heads/b{n}": A for n in range(9)}
    with pytest.raises(ReferenceNotFound, match=r"b4, \.\.\.; tags: none"):
        find("url", heads, "main")
