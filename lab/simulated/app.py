"""The ASGI application of each service, and the table of all services."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from stackmend.lab.simulated import gate, identity_api, image, masakari, placement, redfish
from stackmend.lab.simulated.cinder import api as cinder
from stackmend.lab.simulated.listeners import App
from stackmend.lab.simulated.neutron import api as neutron
from stackmend.lab.simulated.nova import api as nova
from stackmend.lab.simulated.web import Operation, Service

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

SERVICES: tuple[Service, ...] = (
    identity_api.SERVICE,
    nova.SERVICE,
    cinder.SERVICE,
    neutron.SERVICE,
    placement.SERVICE,
    image.SERVICE,
    masakari.SERVICE,
    redfish.SERVICE,
)
# cinder's older clients put their project's id into the path; newer ones leave it out.
_PROJECT_IN_PATH = re.compile(r"^/volume/v3/[0-9a-f]{32}(?=/)")


def service_app(cloud: "Cloud", service: Service) -> App:
    """The application that serves ``service`` under its prefix."""
    routes = [_route(cloud, service, operation) for operation in service.operations]
    routes.append(Route("/{rest:path}", _endpoint(cloud, service, None), methods=["GET", "POST", "PUT", "DELETE"]))
    router = Router(routes, redirect_slashes=False)

    async def app(
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        path = _PROJECT_IN_PATH.sub("/volume/v3", scope["path"])
        scope["path"] = f"{path}/" if path == service.prefix else path
        await router(scope, receive, send)

    return app


def _route(cloud: "Cloud", service: Service, operation: Operation) -> Route:
    return Route(service.prefix + operation.path, _endpoint(cloud, service, operation), methods=[operation.method])


def _endpoint(
    cloud: "Cloud", service: Service, operation: Operation | None
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await gate.handle(cloud, service, operation, request)

    return endpoint
