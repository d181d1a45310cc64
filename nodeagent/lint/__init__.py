"""Reads a repository without a node, and names what would go wrong on one."""
