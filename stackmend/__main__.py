"""The process ``stackmend``, or ``python -m stackmend``."""

import gc
import sys

from stackmend import shell


def main() -> int:
    """Run the command that was typed; returns its exit code."""
    try:
        return shell.main()
    finally:
        # Before it ends Python would look through all that was imported for garbage: a tenth of `stackmend status`.
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
