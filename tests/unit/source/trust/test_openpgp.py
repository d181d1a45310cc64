"""What gpgv's answers mean; the answers themselves come from gpgv in tests/integration/test_source_signatures.py."""

import pytest

from nodeagent.errors import ClockNotSynchronised, SignatureInvalid, SignerExpired, SignerRevoked, SignerUnknown
from nodeagent.source.trust import openpgp

KEY = "FCB9E5CE1986BF53"
PRIMARY = "CD3BC73CD13F2D263771949DFCB9E5CE1986BF53"
VALID = f"VALIDSIG {PRIMARY} 2026-11-22 1795387870 0 4 0 22 8 00 {PRIMARY}"


def judged(*lines, clock=True):
    return openpgp.judge([line.split(" ") for line in lines], "commit 1", clock=clock)


def test_a_good_signature_names_user_type_and_primary_key():
    assert str(judged("NEWSIG", f"GOODSIG {KEY} Alice <a@x>", VALID)) == f"Alice <a@x> (OpenPGP EdDSA {PRIMARY})"


def test_control_characters_of_a_name_are_escaped():
    assert "\x1b" not in str(judged("NEWSIG", f"GOODSIG {KEY} A\x1b[2J", VALID))


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([], SignatureInvalid),
        (["NODATA 4"], SignatureInvalid),
        (["NEWSIG", f"GOODSIG {KEY} A"], SignatureInvalid),
        (["NEWSIG", f"GOODSIG {KEY} A", VALID, "NEWSIG", f"BADSIG {KEY} B"], SignatureInvalid),
        (["NEWSIG", f"GOODSIG {KEY} A", VALID, "NEWSIG"], SignatureInvalid),
        (["NEWSIG", f"GOODSIG {KEY} A", VALID.replace(" 8 00 ", " 2 00 ")], SignatureInvalid),
        (["NEWSIG", f"GOODSIG {KEY} A", VALID.replace(" 8 00 ", " 8 01 ")], SignatureInvalid),
        (["NEWSIG", f"BADSIG {KEY} A"], SignatureInvalid),
        (["NEWSIG", f"ERRSIG {KEY} 22 8 00 1795387870 9 {PRIMARY}", f"NO_PUBKEY {KEY}"], SignerUnknown),
        (["NEWSIG", f"ERRSIG {KEY} 22 8 00 1795387870 4 {PRIMARY}"], SignatureInvalid),
        (["NEWSIG", f"ERRSIG {KEY}"], SignatureInvalid),
        (["NEWSIG", f"REVKEYSIG {KEY} A", VALID], SignerRevoked),
    ],
)
def test_all_else_is_refused_whatever_the_clock(lines, error):
    for clock in (True, False):
        with pytest.raises(error):
            judged(*lines, clock=clock)


@pytest.mark.parametrize(
    "line", [f"EXPKEYSIG {KEY} A", f"EXPSIG {KEY} A", f"ERRSIG {KEY} 22 8 00 1924992000 6 {PRIMARY}"]
)
def test_what_only_the_time_speaks_against_waits_for_the_clock(line):
    with pytest.raises(SignerExpired):
        judged("NEWSIG", line, clock=True)
    with pytest.raises(ClockNotSynchronised):
        judged("NEWSIG", line, clock=False)
