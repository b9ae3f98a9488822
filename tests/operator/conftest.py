"""What the tests of this directory share beyond the desk."""

from living import living, make_living  # noqa: F401
