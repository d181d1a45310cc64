"""What the demo, the benchmark and the tests on a booted system share: git server, sandbox, configured agent."""
