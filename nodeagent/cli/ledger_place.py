"""Where the ledger is, for the verbs that read it: as configured, or by ``--state``."""

import argparse
from pathlib import Path

from nodeagent.config import DEFAULT_FILE, Config, Paths, load


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"default: {DEFAULT_FILE}")
    parser.add_argument("--state", type=Path, metavar="DIR", help="where the ledger is kept, if not as configured")


def state_directory(args: argparse.Namespace) -> Path:
    """The ledger's directory. Without a configuration file it is where ``apply --repo`` keeps it.

    Raises:
        InvalidConfiguration: the configuration cannot be taken.
    """
    if args.state is not None:
        return Path(args.state)
    if args.config == DEFAULT_FILE and not DEFAULT_FILE.exists():
        paths = Config.model_fields["paths"].default
        assert isinstance(paths, Paths)
        return paths.state
    return load(args.config).paths.state
