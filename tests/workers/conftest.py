"""Controllers on real boards and databases."""

from controllers import make_controllers, servers  # noqa: F401
