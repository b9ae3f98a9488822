"""Ids that are the same in every run: made from the names of things."""

import hashlib
import uuid

_SPACE = uuid.UUID("6f1f2a52-5d0c-4b7e-9a53-6b1d35a1c0de")


def stable_id(kind: str, name: str) -> str:
    """The id of the thing of that kind and name, with dashes."""
    return str(uuid.uuid5(_SPACE, f"{kind}/{name}"))


def keystone_id(kind: str, name: str) -> str:
    """The same, in keystone's form without dashes."""
    return stable_id(kind, name).replace("-", "")


def new_id() -> str:
    """A fresh random id."""
    return str(uuid.uuid4())


def host_id(project_id: str, host: str) -> str:
    """nova's hostId: the host's name hidden from the project's members."""
    return hashlib.sha224(f"{project_id}{host}".encode()).hexdigest() if host else ""
