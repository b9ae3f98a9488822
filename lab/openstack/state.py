"""A clean state put in place: the databases, keys and files that a lab begins with."""

import shutil
from pathlib import Path

from sqlalchemy import text

from stackmend.lab.openstack import health
from stackmend.lab.openstack.site import Site

_MOVE_IMAGES = "UPDATE glance.image_locations SET value = CONCAT('file://', :images, '/', image_id)"


def lay(state: Path, site: Site) -> None:
    """Replace the data of a lab, whose stores must be stopped, by a clean state's."""
    shutil.rmtree(site.data, ignore_errors=True)
    # An extra service that goes on, such as Aodh, touches its locks at any time.
    shutil.copytree(state / "data", site.data, symlinks=True, dirs_exist_ok=True)


def move_in(site: Site) -> None:
    """Mend the one thing that a state knows of where it was made: the files of the images."""
    with health.database(site) as link:
        link.execute(text(_MOVE_IMAGES), {"images": str(site.data / "glance" / "images")})
