"""What a package puts on a node, as a tree of files: the agent, the libraries that it needs, and what systemd reads."""
