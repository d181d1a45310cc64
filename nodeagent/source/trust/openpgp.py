"""What an OpenPGP signature is worth, by what gpgv says of it (GnuPG's doc/DETAILS). No I/O."""

from collections.abc import Sequence

from nodeagent.errors import ClockNotSynchronised, SignatureInvalid, SignerExpired, SignerRevoked, SignerUnknown
from nodeagent.source.foreign import one_line
from nodeagent.source.trust.signature import Signature

BEGIN = b"-----BEGIN PGP SIGNATURE-----"

_VERDICTS = frozenset({"GOODSIG", "BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG"})
_ALGORITHMS = {"1": "RSA", "17": "DSA", "19": "ECDSA", "22": "EdDSA"}  # RFC 4880, 9.1
_WEAK_HASHES = frozenset({"1", "2", "3"})  # MD5, SHA-1, RIPEMD-160: RFC 4880, 9.4
_OF_BYTES = "00"  # class of a signature of content as it stands: what git has made
_NO_KEY, _KEY_FROM_THE_FUTURE = "9", "6"  # GPG_ERR_NO_PUBKEY; GPG_ERR_BAD_PUBKEY


def judge(said: Sequence[Sequence[str]], shown: str, *, clock: bool) -> Signature:
    """Who signed.

    Args:
        said: gpgv's status lines, by word.
        shown: what was signed, for messages.
        clock: whether the node knows what time it is.

    Raises:
        SignatureInvalid, SignerUnknown, SignerRevoked, SignerExpired
        ClockNotSynchronised: only the time speaks against it, and that is not known.
    """
    verdicts = [words for words in said if words[0] in _VERDICTS]
    if len(verdicts) != 1 or sum(words[0] == "NEWSIG" for words in said) > 1:
        raise SignatureInvalid(f"{shown}: holds not one OpenPGP signature, but {len(verdicts) or 'none'}: sign it anew")
    verdict, key, *more = verdicts[0]
    name = one_line(f"{' '.join(more)} ({key})" if verdict != "ERRSIG" else key)
    match verdict:
        case "GOODSIG":
            return _accepted(said, shown, " ".join(more))
        case "REVKEYSIG":
            raise SignerRevoked(f"{shown}: signed with an OpenPGP key that was revoked: {name}: sign it with another")
        case "EXPKEYSIG" | "EXPSIG":
            what = "key" if verdict == "EXPKEYSIG" else "signature"
            reason = f"{shown}: its OpenPGP {what} has expired: {name}"
        case "ERRSIG" if _code(more) == _NO_KEY:
            raise SignerUnknown(
                f"{shown}: signed with the OpenPGP key {name}, which is not in signatures.openpgp_keyring: add it "
                "there (gpg --export), or sign with a key that is"
            )
        case "ERRSIG" if _code(more) == _KEY_FROM_THE_FUTURE:
            reason = f"{shown}: its OpenPGP key {name} is of the future, or damaged"
        case _:
            raise SignatureInvalid(f"{shown}: its OpenPGP signature by {name} is wrong: sign it anew")
    if not clock:
        raise ClockNotSynchronised(f"{reason}, by a clock that nothing has set yet: is tried again by itself")
    raise SignerExpired(f"{reason}: prolong the key and export it anew, or sign with another")


def _accepted(said: Sequence[Sequence[str]], shown: str, name: str) -> Signature:
    valid = next((words[1:] for words in said if words[0] == "VALIDSIG"), [])
    if len(valid) < 10:  # as many as gpgv has always said; the last is the primary key
        raise SignatureInvalid(f"{shown}: gpgv does not say which OpenPGP key signed it: is it older than 2.1?")
    algorithm, digest, kind, primary = valid[6:10]
    if digest in _WEAK_HASHES:
        raise SignatureInvalid(f"{shown}: its OpenPGP signature is of a broken hash (SHA-1 or older): sign it anew")
    if kind != _OF_BYTES:
        raise SignatureInvalid(f"{shown}: its OpenPGP signature is not of the bytes as they stand: sign it anew")
    return Signature(
        signer=one_line(name),
        kind=f"OpenPGP {_ALGORITHMS.get(algorithm, f'algorithm {one_line(algorithm)}')}",
        fingerprint=one_line(primary),
    )


def _code(more: Sequence[str]) -> str:
    """Why a signature could not be checked: ``pkalgo hashalgo class time rc [fingerprint]`` come behind the key."""
    return more[4] if len(more) > 4 else ""
