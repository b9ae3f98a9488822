"""Alarms: they are stored as they come, decided by rules, and start what an operator would have typed."""
