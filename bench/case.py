"""One case, measured once, in this process: ``python -m bench.case NAME SIZE DIRECTORY`` prints it as JSON."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from bench import lanes, stock

CASES = {
    "reading": lanes.reading,
    "acting": lanes.acting,
    "resuming": lanes.resuming,
    "unordered": stock.unordered,
    "chains": stock.chains,
}


def main(name: str, size: str, directory: str) -> None:
    """Measure one case, or (``half-done``) prepare the one that resumes."""
    if name == "half-done":
        lanes.leave_half_done(int(size), Path(directory))
    else:
        json.dump(asdict(CASES[name](int(size), Path(directory))), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
