"""Steps: one module a system touched, tasks of one effect each."""
