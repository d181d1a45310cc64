"""On-node agent that keeps a node equal to its site's configuration repository."""

__version__ = "0.1.0"
