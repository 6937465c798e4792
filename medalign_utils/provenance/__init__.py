"""Which settings, code and environment made a result."""
