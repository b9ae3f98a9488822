"""Procedures: one module each, named after what the operator asks for; it reads like the runbook."""
