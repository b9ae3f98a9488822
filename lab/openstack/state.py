"""A clean state put in place: the databases, keys and files that a lab begins with."""

import re
import shutil
from pathlib import Path

from sqlalchemy import Connection, text

from stackmend.lab.openstack import health
from stackmend.lab.openstack.site import ADDRESS, Site

# What tells other services where to find one: table and column.
_ADDRESSES = (
    ("keystone.endpoint", "url"),
    ("nova_api.cell_mappings", "transport_url"),
    ("nova_api.cell_mappings", "database_connection"),
)
_PORT = re.compile(rf"(?<={re.escape(ADDRESS)}:)\d+")
_MOVE_IMAGES = "UPDATE glance.image_locations SET value = CONCAT('file://', :images, '/', image_id)"


def lay(state: Path, site: Site) -> None:
    """Replace the data of a lab, whose stores must be stopped, by a clean state's."""
    shutil.rmtree(site.data, ignore_errors=True)
    # An extra service that goes on, such as Aodh, touches its locks at any time.
    shutil.copytree(state / "data", site.data, symlinks=True, dirs_exist_ok=True)


def note_ports(site: Site) -> None:
    """Keep with the data which ports it tells of."""
    _noted(site).write_text(str(site.port_base), encoding="ascii")


def move_in(site: Site) -> None:
    """Mend what a state knows of where it was made: the files of the images, and the ports."""
    by = site.port_base - int(_noted(site).read_text(encoding="ascii"))
    with health.database(site) as link:
        link.execute(text(_MOVE_IMAGES), {"images": str(site.data / "glance" / "images")})
        if by:
            _move_ports(link, by)
    note_ports(site)


def _noted(site: Site) -> Path:
    return site.data / "port_base"


def _move_ports(link: Connection, by: int) -> None:
    for table, column in _ADDRESSES:
        for row, address in link.execute(text(f"SELECT id, {column} FROM {table}")).all():
            moved = _PORT.sub(lambda port: str(int(port[0]) + by), address)
            link.execute(text(f"UPDATE {table} SET {column} = :moved WHERE id = :row"), {"moved": moved, "row": row})
