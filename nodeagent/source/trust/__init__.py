"""Which revision may follow which."""
