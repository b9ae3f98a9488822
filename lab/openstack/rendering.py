"""Configuration files from the templates in ``templates/``."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stackmend.lab.openstack import site as places
from stackmend.lab.openstack.site import Site

TEMPLATES = Path(__file__).parent / "templates"


def render(site: Site, template: str, **values: Any) -> str:
    """The text of one template (``nova/nova.conf``); every name that it uses must be known."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    known = {"site": site, "address": places.ADDRESS, "region": places.REGION, "password": places.PASSWORD}
    return environment.get_template(f"{template}.j2").render(known, controller=places.CONTROLLER, **values)


def write(site: Site, template: str, target: Path, **values: Any) -> None:
    """Render a template into a file below ``etc``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(render(site, template, **values), encoding="utf-8")
