"""``nodeagent enroll``: bring nodeagent to nodes, by what boots them."""

import argparse

from nodeagent.cli import enroll_xcat


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    enroll = subparsers.add_parser(
        "enroll",
        help="bring nodeagent to the nodes that xCAT or cloud-init boots, to this one, or into an image",
        description="Make what brings nodeagent and the key file's password to nodes.",
    )
    verbs = enroll.add_subparsers(metavar="WAY", required=True)
    enroll_xcat.add_parser(verbs)
