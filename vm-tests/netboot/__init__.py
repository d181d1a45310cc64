"""Nodes without a disk, booted over a network."""
