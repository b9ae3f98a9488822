"""What the tests of this directory share beyond the desk."""

from hosts.compute import machine, town  # noqa: F401
