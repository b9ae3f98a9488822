"""Write doc/reference/rights.md from stackmend.flows.rights: python doc/rights_reference.py."""

import pathlib

from stackmend.flows.rights import READ, RIGHTS, Rights, Rules, statements

PAGE = pathlib.Path(__file__).parent / "reference" / "rights.md"
HEAD = """# Rights of the procedures

This page is written by `python doc/rights_reference.py`; a test compares it with what the code says. How to give an
account these rights, and no more: [rights](../guide/rights.md).

Every rule is asked in the scope of a project: the token is for a project, whichever it is. A rule that a release does
not have is not needed there.

## Every procedure

The plan reads the cloud by these, and the run looks by them at what became of each step.
"""
SERVICES = ("nova", "cinder", "neutron", "placement", "glance", "masakari")


def page() -> str:
    """The whole page."""
    sections = [line for name in sorted(RIGHTS) for line in _section(name, RIGHTS[name])]
    return "\n".join([HEAD, *_listed(READ), *sections])


def _section(name: str, rights: Rights) -> list[str]:
    lines = ["", f"## {name}", "", *_listed(rights.rules)]
    if rights.grants:
        granted = [f"{statement};" for statement in statements(name, "'stackmend'@'%'")]
        lines += ["", "In SQL:", "", "```sql", *granted, "```"]
    return lines


def _listed(rules: Rules) -> list[str]:
    lines: list[str] = []
    for service in (service for service in SERVICES if service in rules):
        lines += ["", f"{service}:", "", "```text", *sorted(rules[service]), "```"]
    return lines[1:]


if __name__ == "__main__":
    PAGE.write_text(page() + "\n", encoding="utf-8")
