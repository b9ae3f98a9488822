"""nova, simulated."""
