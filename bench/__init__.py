"""Measurements of stackmend, run from a checkout: ``python -m bench.engine``."""
