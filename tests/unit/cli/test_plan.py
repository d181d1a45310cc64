import pytest

from nodeagent.cli import main


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "soon"])
def test_a_time_limit_that_is_none_is_refused(capsys, text):
    with pytest.raises(SystemExit) as ended:
        main.call(["plan", "--repo", "/", f"--timeout={text}"])
    assert ended.value.code == 2
    assert f"{text}: a number of seconds above 0 is needed" in capsys.readouterr().err
