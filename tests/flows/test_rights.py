"""What the procedures need to be allowed is said once: the page shows it, every procedure has it."""

import pathlib
import runpy

from stackmend.engine.procedures import catalogue
from stackmend.flows.rights import RIGHTS

DOC = pathlib.Path(__file__).parents[2] / "doc"


def test_every_procedure_says_what_it_needs() -> None:
    assert set(RIGHTS) == set(catalogue())


def test_the_page_is_what_the_procedures_say() -> None:
    generator = runpy.run_path(str(DOC / "rights_reference.py"))
    page = (DOC / "reference" / "rights.md").read_text(encoding="utf-8")
    assert page == generator["page"]() + "\n", "run `python doc/rights_reference.py`"
