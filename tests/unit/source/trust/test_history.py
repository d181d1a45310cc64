from nodeagent.source.trust.history import Standing, refusal

OLD, NEW, OTHER = "1" * 40, "2" * 40, "3" * 40


def test_a_refusal_names_both_commits_with_their_dates_and_what_to_do() -> None:
    standing = Standing(commits=(OLD, OTHER), authored=86400)

    message = str(refusal("ssh://host/repo: branch main", NEW, 2 * 86400 + 1, standing))

    assert f"{NEW} of 1970-01-03 00:00:01 UTC" in message
    assert f"{OLD} of 1970-01-02 00:00:00 UTC" in message
    assert f"nodeagent accept {NEW} --reason TEXT" in message


def test_a_date_that_is_not_known_is_left_out() -> None:
    message = str(refusal("branch main", NEW, 0, Standing(commits=(OLD,))))

    assert "1970" not in message


def test_a_name_from_the_server_brings_no_control_characters_along() -> None:
    assert str(refusal("branch \033[31m", NEW, 0, Standing(commits=(OLD,)))).isprintable()
