"""Signing in to a cloud through openstacksdk, and finding its services: nothing of ours in between."""

import hashlib
import threading
import warnings
from dataclasses import asdict, dataclass, field
from typing import Any

from keystoneauth1 import exceptions as ksa
from keystoneauth1.identity.base import BaseIdentityPlugin
from keystoneauth1.session import Session
from openstack.config import OpenStackConfig
from openstack.config.cloud_region import CloudRegion
from openstack.exceptions import ConfigException

from stackmend.clients import failures
from stackmend.errors import BadInput

_POOLED_HOSTS = 32
_POOLED_CONNECTIONS = 1024


@dataclass(frozen=True)
class Timeouts:
    """Seconds: to connect, between two bytes of an answer, and for safe repeats of one call in all."""

    connect: float = 10.0
    read: float = 60.0
    patience: float = 60.0


@dataclass(frozen=True)
class CloudIdentity:
    """Which cloud this is and who we are in it. A plan is bound to ``fingerprint``."""

    name: str
    auth_url: str
    region: str
    project_id: str
    user_id: str
    user_name: str

    @property
    def fingerprint(self) -> str:
        """16 hex digits for the cloud itself (identity URL and region), whoever is signed in."""
        url = self.auth_url.rstrip("/").removesuffix("/v3").rstrip("/").lower()
        return hashlib.sha256(f"{url} {self.region}".encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, str]:
        """The six fields as plain JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Place:
    """Where a service answers, and its newest microversion ((0, 0) when it has none)."""

    url: str
    newest: tuple[int, int]


def cloud_region(cloud: str | None, region: str | None) -> CloudRegion:
    """The named cloud of clouds.yaml, or the one of the OS_ variables.

    Raises BadInput when the name or region is unknown or no authentication is configured. (openstacksdk
    logs a warning for a clouds.yaml that is no YAML, and goes on without it.)
    """
    wanted: dict[str, Any] = {"cloud": cloud, "region_name": region}
    try:
        with warnings.catch_warnings():
            # openstacksdk warns about parts of itself that are not used here.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            config = OpenStackConfig(app_name="stackmend")
            return config.get_one(**{key: value for key, value in wanted.items() if value})
    except (ConfigException, ksa.AuthPluginException) as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise BadInput(f"{_which(cloud)} is not usable ({said}): see clouds.yaml or the OS_ variables.") from None


@dataclass
class SignIn:
    """A signed-in session: tokens, and where each service answers. Safe for many threads."""

    region: CloudRegion
    timeouts: Timeouts
    _places: dict[str, Place] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.name = self.region.name or "envvars"
        self.session = self._session()
        if self.session.timeout is None:
            self.session.timeout = (self.timeouts.connect, self.timeouts.read)  # type: ignore[assignment]
        for adapter in set(self.session.session.adapters.values()):
            adapter.init_poolmanager(_POOLED_HOSTS, _POOLED_CONNECTIONS)  # type: ignore[attr-defined]

    def _session(self) -> Session:
        try:
            session: Session = self.region.get_session()
        except (ConfigException, ksa.AuthPluginException) as error:
            said = " ".join(str(error).split()).rstrip(".")
            raise BadInput(f"{_which(self.name)} has no usable authentication ({said}).") from None
        request = session.request

        def no_circle(url: str, method: str, **given: Any) -> Any:
            # A 401 to what needs no token would have keystoneauth sign in, in the middle of signing in: it would wait
            # for itself for ever.
            try:
                return request(url, method, **given)
            except ksa.Unauthorized as error:
                if method == "GET" and given.get("authenticated") is False:
                    raise ksa.DiscoveryFailure(str(error)) from error
                raise

        session.request = no_circle  # type: ignore[assignment, method-assign]
        return session

    @property
    def auth_url(self) -> str:
        """The identity service's address as configured."""
        return str(self.region.get_auth_args().get("auth_url") or getattr(self.session.auth, "auth_url", ""))

    @property
    def who(self) -> str:
        """The configured user, for messages; no secret."""
        auth: dict[str, Any] = self.region.get_auth_args()
        user = auth.get("username") or auth.get("user_id") or auth.get("application_credential_id")
        return f"user {user}" if user else "this user"

    def headers(self) -> dict[str, str]:
        """Headers with a valid token. Raises Passing, Unauthorized or Unreachable."""
        try:
            return dict(self.session.get_auth_headers() or {})
        except ksa.ClientException as error:
            raise failures.sign_in(error, self.auth_url, self.who) from error

    def renew(self, refused: dict[str, str]) -> None:
        """Drop the token that a service refused, unless another thread already did."""
        with self._lock:
            if self.headers() == refused:
                self.session.invalidate()

    def place(self, service: str) -> Place:
        """Where the service answers. Raises Passing, Unreachable or Unauthorized."""
        self.headers()
        if service not in self._places:
            self._places[service] = self._find(service)
        return self._places[service]

    def _find(self, service: str) -> Place:
        try:
            client = self.region.get_session_client(service)
            if service == "network" and client.endpoint_override:
                # openstacksdk knows neutron's only version; its version document needs no asking.
                return Place(client.endpoint_override.rstrip("/"), (0, 0))
            data = client.get_endpoint_data()
        except (ksa.ClientException, ConfigException):
            data = None
        if data is None or data.url is None:
            raise failures.no_endpoint(service, self.name, self.region.get_region_name(service) or "")
        if data.status is None:
            raise failures.undiscovered(service, data.url)
        newest = data.max_microversion or (0, 0)
        return Place(data.url.rstrip("/"), (int(newest[0]), int(newest[1])))

    def identity(self) -> CloudIdentity:
        """Who we are and where. Raises Passing, Unauthorized or Unreachable."""
        self.headers()
        auth = self.session.auth
        user_name = auth.get_access(self.session).username if isinstance(auth, BaseIdentityPlugin) else ""
        return CloudIdentity(
            name=self.name,
            auth_url=self.auth_url,
            region=self.region.get_region_name("identity") or "",
            project_id=self.session.get_project_id() or "",
            user_id=self.session.get_user_id() or "",
            user_name=user_name or "",
        )


def _which(cloud: str | None) -> str:
    return f"The cloud {cloud}" if cloud else "The cloud of the environment"
