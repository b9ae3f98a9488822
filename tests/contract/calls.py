"""Plain calls to the APIs of one cloud, whichever it is, and a look at its rows."""

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

import requests
import sqlalchemy
import yaml
from keystoneauth1.adapter import Adapter
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

T = TypeVar("T")
NOVA, CINDER, PLACEMENT = "2.100", "3.71", "1.39"


class Lab(Protocol):
    """What SimulatedCloud and the real lab have in common."""

    description: dict[str, Any]

    def environment(self, cloud: str = ...) -> dict[str, str]: ...
    def host(self, name: str, do: str, binary: str = "nova-compute") -> dict[str, Any]: ...
    def service(self, name: str, *, up: bool) -> dict[str, Any]: ...
    def power_cut(self, hosts: Iterable[str] = ()) -> dict[str, Any]: ...
    def power_on(self, *, hosts: Iterable[str] = ()) -> dict[str, Any]: ...


class Calls:
    """The APIs and the rows of one cloud. Every call answers its response, whatever the status."""

    def __init__(self, lab: Lab, names: tuple[str, str]) -> None:
        self.lab = lab
        admin, member = (self._session(name) for name in names)
        self._sessions = {False: admin, True: member}
        self._engines = {
            name: sqlalchemy.create_engine(url) for name, url in lab.description["databases"].items() if url
        }

    def _session(self, name: str) -> Session:
        with open(self.lab.description["clouds_yaml"], encoding="utf-8") as file:
            auth = yaml.safe_load(file)["clouds"][name]["auth"]
        return Session(v3.Password(**auth))

    def call(
        self,
        service: str,
        method: str,
        path: str,
        at: str | None = None,
        *,
        member: bool = False,
        **more: Any,
    ) -> requests.Response:
        """A call to a service of the catalogue at a microversion."""
        adapter = Adapter(self._sessions[member], service_type=service, interface="public")
        return adapter.request(path, method, microversion=at, raise_exc=False, **more)

    def nova(self, method: str, path: str, body: Any = None, *, at: str = NOVA, **more: Any) -> requests.Response:
        """A call to nova."""
        return self.call("compute", method, path, at, json=body, **more)

    def cinder(self, method: str, path: str, body: Any = None, *, at: str = CINDER, **more: Any) -> requests.Response:
        """A call to cinder."""
        return self.call("block-storage", method, path, at, json=body, **more)

    def neutron(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """A call to neutron."""
        return self.call("network", method, f"/v2.0{path}", json=body, **more)

    def placement(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """A call to placement."""
        return self.call("placement", method, path, PLACEMENT, json=body, **more)

    def rows(self, database: str, sql: str, **values: Any) -> list[dict[str, Any]]:
        """The rows of a query."""
        with self._engines[database].connect() as link:
            return [dict(row) for row in link.execute(sqlalchemy.text(sql), values).mappings()]

    def row(self, database: str, sql: str, **values: Any) -> dict[str, Any]:
        """The only row of a query."""
        (found,) = self.rows(database, sql, **values)
        return found

    def execute(self, database: str, sql: str, **values: Any) -> int:
        """Run a statement as an operator at the database would; how many rows it changed."""
        with self._engines[database].begin() as link:
            return link.execute(sqlalchemy.text(sql), values).rowcount

    def columns(self, database: str, table: str) -> set[str]:
        """The columns of a table."""
        return {column["name"] for column in sqlalchemy.inspect(self._engines[database]).get_columns(table)}

    def hang_up(self) -> None:
        """Close the connections to the databases."""
        for engine in self._engines.values():
            engine.dispose()
