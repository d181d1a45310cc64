"""Man pages and completions, made from the same parsers as ``--help``, and from the model of the configuration."""
