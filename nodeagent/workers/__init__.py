"""Forked children of the warm process: how they are started, heard, and ended."""
