import pytest

from nodeagent.evaluate.loops import around_or_behind

TEXT = b"""\
date
while test -e /a; do
  until test -e /b; do
    sleep 1
  done
  date
done
for x in a b; do
  date
done
"""


@pytest.mark.parametrize(("line", "loop"), [(0, 2), (1, 2), (2, 2), (4, 3), (6, 2), (8, None)])
def test_a_program_that_came_to_a_line_waits_in_the_loop_around_it_or_in_the_next_one(line, loop):
    assert around_or_behind(TEXT, line) == loop
