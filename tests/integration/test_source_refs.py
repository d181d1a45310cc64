"""What ``source.ref`` may name, against a real server: branches, tags, commits, and names that move under the node."""

import pytest

PLAN = {"post.sh": "#!/bin/sh\n", "files/motd": "welcome\n"}


def polled(site, ref, current=""):
    outcome, _ = site.poll(site.config(source={"ref": ref}), current)
    return outcome


def push_tag(site, name, *, annotated=False, commit="HEAD"):
    options = ["-a", "-m", "Release"] if annotated else []
    site.repository.git("tag", "-f", *options, name, commit)
    site.repository.git("push", "-q", "--force", site.repository.bare, f"refs/tags/{name}")


@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("name", ["v1", "refs/tags/v1"])
def test_a_tag_is_followed_to_its_commit(site, annotated, name):
    commit = site.repository.commit(PLAN)
    push_tag(site, "v1", annotated=annotated)
    site.repository.commit({"files/motd": "later"})

    outcome = polled(site, name)

    assert (outcome.commit, outcome.failure) == (commit, None)


def test_a_tag_that_moves_on_is_followed(site):
    first = site.repository.commit(PLAN)
    push_tag(site, "stable", annotated=True)
    polled(site, "stable")
    second = site.repository.commit({"files/motd": "later"})
    push_tag(site, "stable", annotated=True)

    outcome = polled(site, "stable", first)

    assert (outcome.commit, outcome.moved, outcome.failure) == (second, True, None)


def test_a_tag_that_moves_back_is_refused(site):
    first = site.repository.commit(PLAN)
    second = site.repository.commit({"files/motd": "later"})
    push_tag(site, "stable")
    polled(site, "stable")
    push_tag(site, "stable", commit=first)

    outcome = polled(site, "stable", second)

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.commit) == ("NonFastForward", second)
    assert "tag stable" in outcome.failure.message


def test_a_branch_goes_before_a_tag_of_its_name(site):
    first = site.repository.commit(PLAN)
    push_tag(site, "main", commit=first)
    second = site.repository.commit({"files/motd": "later"})

    assert polled(site, "main").commit == second
    assert polled(site, "refs/tags/main").commit == first


@pytest.mark.parametrize("depth", [0, 2])
def test_a_full_commit_id_is_followed_wherever_it_stands_in_the_history(site, depth):
    commits = [site.repository.commit({"post.sh": text}) for text in "abc"]
    wanted = commits[-1 - depth]

    outcome = polled(site, wanted)

    assert (outcome.commit, outcome.failure) == (wanted, None)


def test_a_commit_that_is_there_needs_no_server(site):
    commit = site.repository.commit(PLAN)
    polled(site, commit)
    site.server.stop()

    outcome = polled(site, commit, commit)

    assert (outcome.commit, outcome.failure) == (commit, None)


def test_who_names_an_older_commit_gets_it_also_where_the_store_is_shallow(site):
    first = site.repository.commit(PLAN)
    second = site.repository.commit({"files/motd": "later"})
    polled(site, "main")

    outcome = polled(site, first, second)

    assert (outcome.commit, outcome.failure) == (first, None)


def test_a_commit_that_nothing_leads_to_is_named(site):
    site.repository.commit(PLAN)

    outcome = polled(site, "1" * 40)

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.transient) == ("ReferenceNotFound", False)
    assert "1" * 40 in outcome.failure.message


@pytest.mark.parametrize("what", ["HEAD^{tree}", "HEAD:post.sh"])
def test_a_tag_of_something_else_than_a_commit_is_refused(site, what):
    site.repository.commit(PLAN)
    push_tag(site, "odd", annotated=True, commit=what)

    outcome = polled(site, "odd")

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.transient) == ("ReferenceNotFound", False)
    assert "is no commit" in outcome.failure.message


def test_a_branch_that_is_deleted_stalls_and_is_followed_when_it_is_back(site):
    first = site.repository.commit(PLAN)
    site.repository.push("side")
    polled(site, "side")
    site.repository.git("push", "-q", site.repository.bare, ":side")

    gone = polled(site, "side", first)

    assert gone.failure is not None
    assert (gone.failure.code, gone.commit) == ("ReferenceNotFound", first)

    site.repository.write({"files/motd": "back"})
    site.repository.git("commit", "-q", "--all", "-m", "Back")
    site.repository.push("side")
    back = polled(site, "side", first)
    assert (back.commit, back.failure) == (site.repository.head, None)


def test_a_branch_that_is_recreated_without_its_history_is_refused(site):
    first = site.repository.commit(PLAN)
    polled(site, "main")
    site.repository.git("update-ref", "-d", "HEAD")
    site.repository.commit({"files/motd": "begun anew"})

    outcome = polled(site, "main", first)

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.commit) == ("NonFastForward", first)


def test_a_push_force_between_list_and_fetch_does_no_harm(site):
    """The server rewrites the branch when the first bytes of a request have come: what it has listed is gone then."""
    listed = site.repository.commit(PLAN)
    script = site.directory / "upload"
    script.write_text(
        "#!/bin/sh\n"
        'set -- $SSH_ORIGINAL_COMMAND; repo=$(echo $2 | tr -d "\'"); first=$(mktemp)\n'
        'export GIT_DIR="$repo" GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b\n'
        "{ dd bs=1 count=4 2>/dev/null >$first\n"
        "git update-ref refs/heads/main $(git commit-tree -m other main^{tree})\n"
        'cat $first; rm $first; exec cat; } | git-upload-pack "$repo"\n'
    )
    script.chmod(0o755)
    site.server.authorize(site.key.with_suffix(".pub"), str(script))

    outcome = polled(site, "main")

    assert (outcome.commit, outcome.failure) == (listed, None)
    assert site.repository.git("ls-remote", site.repository.bare, "refs/heads/main").split()[0] != listed
    site.server.authorize(site.key.with_suffix(".pub"))
    assert polled(site, "main", listed).failure.code == "NonFastForward"
