"""WHEN: the resident process, which waits, starts workers, and reports."""
