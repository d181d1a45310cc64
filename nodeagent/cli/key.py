"""``nodeagent key``: make, encrypt, decrypt and try the deploy key."""

import argparse
import os
import sys
from pathlib import Path

from nodeagent.cli import key_check, password
from nodeagent.config.source import MOST_ITERATIONS
from nodeagent.enroll.keys import WHERE_TO_PUT_IT, KeyFiles, make_password
from nodeagent.errors import KeyFileInvalid
from nodeagent.source.secrets import container, deploy_key
from nodeagent.source.secrets.container import DEFAULT, Derivation


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    key = subparsers.add_parser(
        "key",
        help="make, encrypt, decrypt and try the deploy key",
        description="Make, encrypt, decrypt and try the key with which a node reads the configuration repository.",
    )
    verbs = key.add_subparsers(metavar="VERB", required=True)

    generate = verbs.add_parser(
        "generate",
        help="make a deploy key and its encrypted key file",
        description="Make an ed25519 key pair and encrypt the private key as openssl enc -aes-256-cbc -a -salt -pbkdf2 "
        "does. Nothing is overwritten. The password is asked for, read from a file, or made and shown once.",
    )
    generate.add_argument("directory", type=Path, metavar="DIR", help="gets key, key.pub and key.enc")
    password.add_option(generate, "without it, a password is made and shown once")
    generate.add_argument("--comment", default="", help="of the public key; default: nodeagent@HOST")
    _add_derivation(generate)
    generate.set_defaults(func=_generate)

    for verb, what, function in (("encrypt", "a file", _encrypt), ("decrypt", "a private key", _decrypt)):
        text = f"{verb} {what}, as openssl enc does; writes to standard output"
        parser = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".")
        parser.add_argument("file", type=Path, metavar="FILE", help=f"what to {verb}")
        password.add_option(parser, required=True)
        _add_derivation(parser)
        parser.set_defaults(func=function)

    key_check.add_parser(verbs)


def _add_derivation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--iterations",
        type=_iterations,
        default=DEFAULT.iterations,
        metavar="N",
        help="openssl's -iter; the nodes need it as source.key_iterations; default: %(default)s",
    )
    parser.add_argument(
        "--digest",
        choices=("sha256", "sha512"),
        default=DEFAULT.digest,
        help="openssl's -md; the nodes need it as source.key_digest; default: %(default)s",
    )


def _iterations(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST_ITERATIONS:
        raise argparse.ArgumentTypeError(f"a number from 1 to {MOST_ITERATIONS} is needed")
    return number


def _derivation(arguments: argparse.Namespace) -> Derivation:
    return Derivation(iterations=arguments.iterations, digest=arguments.digest)


def _generate(arguments: argparse.Namespace) -> int:
    made = "" if arguments.password_file else make_password()
    secret = made.encode() or password.new(arguments.password_file)
    private, public = deploy_key.generate(arguments.comment or f"nodeagent@{os.uname().nodename}")
    encrypted = container.encrypt(private, secret, _derivation(arguments))
    files = KeyFiles.below(arguments.directory)
    files.write(private=private, public=public, encrypted=encrypted)
    _say(f"{files.private}      the private key: keep it off the nodes, or delete it")
    _say(f"{files.encrypted}  this goes to the nodes, as source.key")
    _say(f"{files.public}  this goes to the git server, as a deploy key that may only read:")
    _say(f"  {public.decode().rstrip()}")
    for server, place in WHERE_TO_PUT_IT:
        _say(f"  {server + ':':16}{place}")
    if made:
        _say(f"password: {made}  (shown this once; the nodes get it as the credential nodeagent.password)")
    return 0


def _encrypt(arguments: argparse.Namespace) -> int:
    return _write(
        container.encrypt(_read(arguments.file), password.new(arguments.password_file), _derivation(arguments))
    )


def _decrypt(arguments: argparse.Namespace) -> int:
    """What is no private key is not written: the format cannot tell a wrong password from noise, one in 256 times."""
    with password.given(arguments.password_file) as secret:
        return _write(deploy_key.decrypt_private_key(_read(arguments.file), secret.view, _derivation(arguments)))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileInvalid(f"{path}: cannot be read: {error.strerror}") from error


def _write(data: bytes) -> int:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return 0


def _say(line: str) -> None:
    print(line)  # noqa: T201 - the verb's output
