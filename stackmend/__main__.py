"""``python -m stackmend``."""

import sys

from stackmend.shell import main

if __name__ == "__main__":
    sys.exit(main())
