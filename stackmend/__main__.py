"""The process ``stackmend``, or ``python -m stackmend``."""

import gc
import sys

from stackmend.engine.garbage import no_walks


def main() -> int:
    """Run the command that was typed; returns its exit code."""
    try:
        with no_walks():
            from stackmend import shell
        return shell.main()
    finally:
        # Before it ends Python would look through all that was imported for garbage: a tenth of `stackmend status`.
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
