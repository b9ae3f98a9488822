"""Clouds to practise on: the simulated one that ships, and a real OpenStack."""
