"""cinder, simulated."""
