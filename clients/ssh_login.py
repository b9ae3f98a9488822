"""Logging in over SSH: keys, jump host, and host keys that are always checked.

Imported with the first login: paramiko takes 14 MB, and most recoveries log in nowhere.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import paramiko

from stackmend.clients.patience import Passing
from stackmend.clients.ssh_settings import LoginRefused, NoWayOn, SshSettings, unreachable
from stackmend.errors import BadInput, HostUnreachable

# paramiko logs a traceback for every connection that fails; each failure is raised here, in one sentence.
_SILENT = "stackmend.ssh.protocol"
logging.getLogger(_SILENT).setLevel(logging.CRITICAL)
logging.getLogger(_SILENT).addHandler(logging.NullHandler())
_PROHIBITED = 1


@contextmanager
def logged_in(settings: SshSettings, user: str, address: str, port: int) -> Iterator[paramiko.SSHClient]:
    """A logged-in connection, through the jump host where one is set; closed afterwards.

    Raises Passing (a connection that may come later), LoginRefused or BadInput.
    """
    with ExitStack() as stack:
        channel = stack.enter_context(path_to(settings, address, port))
        yield stack.enter_context(_client(settings, user, address, port, channel))


@contextmanager
def path_to(settings: SshSettings, address: str, port: int) -> Iterator[paramiko.Channel | None]:
    """A channel to the address through the jump host; None where there is no jump host."""
    if not settings.jump:
        yield None
        return
    user, host, jump_port = settings.jump_place()
    with _client(settings, user, host, jump_port, None) as client:
        yield _forwarded(settings, client, address, port)


def _forwarded(settings: SshSettings, client: paramiko.SSHClient, address: str, port: int) -> paramiko.Channel:
    transport = client.get_transport()
    if transport is None:
        raise Passing(HostUnreachable(f"The jump host {settings.jump} closed the connection."))
    try:
        return transport.open_channel(
            "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=settings.connect_timeout
        )
    except paramiko.ChannelException as error:
        if error.code == _PROHIBITED:
            raise LoginRefused(
                f"The jump host {settings.jump} does not let us through to {address}:{port}: "
                "allow TCP forwarding there."
            ) from None
        raise NoWayOn(unreachable(address, port, error.text, settings.jump)) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise Passing(unreachable(address, port, str(error), settings.jump)) from error


@contextmanager
def _client(
    settings: SshSettings, user: str, address: str, port: int, channel: paramiko.Channel | None
) -> Iterator[paramiko.SSHClient]:
    client = paramiko.SSHClient()
    client.set_log_channel(_SILENT)
    client.set_missing_host_key_policy(_Refuse(settings, port))
    for name in settings.known_hosts:
        path = Path(name).expanduser()
        if path.is_file():
            client.load_system_host_keys(str(path))
    try:
        _connect(client, settings, user, address, port, channel)
        yield client
    finally:
        client.close()


def _connect(
    client: paramiko.SSHClient,
    settings: SshSettings,
    user: str,
    address: str,
    port: int,
    channel: paramiko.Channel | None,
) -> None:
    try:
        client.connect(
            address,
            port=port,
            username=user,
            key_filename=_key_files(settings),  # type: ignore[arg-type]  # a list is taken too
            allow_agent=settings.agent,
            look_for_keys=not settings.key_files,
            timeout=settings.connect_timeout,
            banner_timeout=settings.connect_timeout,
            auth_timeout=settings.connect_timeout,
            sock=channel,
        )
    except paramiko.BadHostKeyException as error:
        raise LoginRefused(
            f"{address}:{port} shows host key {_print(error.key)}, not the known {_print(error.expected_key)} "
            f"of {' or '.join(settings.known_hosts)}: if the machine was reinstalled put the new key there, "
            "else somebody is in between."
        ) from None
    except paramiko.AuthenticationException as error:
        raise LoginRefused(
            f"{address}:{port} refuses the login of {user} ({_words(error)}): give it the right key by key_files "
            "or the agent, or the right user."
        ) from None
    except (paramiko.SSHException, OSError, EOFError) as error:
        if "private key" in str(error) or "No authentication methods" in str(error):
            raise LoginRefused(f"There is no usable key to log in to {address} ({_words(error)}).") from None
        raise Passing(unreachable(address, port, str(error), settings.jump if channel else "")) from error


class _Refuse(paramiko.MissingHostKeyPolicy):
    def __init__(self, settings: SshSettings, port: int) -> None:
        self._files = " or ".join(settings.known_hosts)
        self._port = port

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Never trust on first use."""
        raise LoginRefused(
            f"The host key of {hostname.strip('[]').split(']')[0]} port {self._port}, {_print(key)}, is not in "
            f"{self._files}: compare it on the machine's console and add it."
        )


def _key_files(settings: SshSettings) -> list[str]:
    paths = [Path(name).expanduser() for name in settings.key_files]
    for path in paths:
        if not path.is_file():
            raise BadInput(f"The SSH key file {path} does not exist: correct key_files.")
    return [str(path) for path in paths]


def _print(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"


def _words(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
