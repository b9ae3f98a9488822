"""TaskFlow's words for how a step stands and what is meant for it, as they are stored (a test holds them to that).

Without importing TaskFlow, as engine.taskflow_tables: who only looks at a run has no other use for it.
"""

PENDING = "PENDING"
RUNNING = "RUNNING"
SUCCESS = "SUCCESS"
FAILURE = "FAILURE"
REVERTING = "REVERTING"
REVERTED = "REVERTED"
REVERT_FAILURE = "REVERT_FAILURE"
# What is meant for it.
IGNORE = "IGNORE"
REVERT = "REVERT"
