"""Command line: the verbs; the only place that builds objects and exits."""
