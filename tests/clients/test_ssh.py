"""Ssh against a real SSH server: host keys, logins, a jump host, and a connection that ends in mid-command."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from ssh_machine import HOST, Machine

from stackmend.clients.ssh import Command, Dropped, LoginRefused, Ssh, SshSettings
from stackmend.errors import BadInput, HostUnreachable


@pytest.fixture
def key(tmp_path: Path) -> asyncssh.SSHKey:
    """The operator's key, also in the file ``id``."""
    one = asyncssh.generate_private_key("ssh-ed25519")
    one.write_private_key(tmp_path / "id")
    return one


@pytest.fixture
def start(key: asyncssh.SSHKey) -> Iterator[Callable[[], Machine]]:
    """Starts machines that know the operator's key."""
    machines: list[Machine] = []

    def one() -> Machine:
        machines.append(Machine(key))
        return machines[-1]

    yield one
    for machine in machines:
        machine.close()


@pytest.fixture
def guest(start: Callable[[], Machine]) -> Machine:
    """A machine."""
    return start()


@pytest.fixture
def ssh_to(tmp_path: Path) -> Callable[..., Ssh]:
    """An Ssh whose known_hosts holds the given machines, logging in to the first."""

    def make(*machines: Machine, **more: Any) -> Ssh:
        (tmp_path / "known_hosts").write_text("".join(machine.line() for machine in machines))
        options = {"user": "debian", "port": machines[0].port, "key_files": str(tmp_path / "id"), "agent": False}
        options |= {"known_hosts": str(tmp_path / "known_hosts"), "patience": 0.5, "connect_timeout": 5}
        return Ssh(SshSettings(**{**options, **more}))

    return make


class TestCommand:
    def test_text_and_json(self) -> None:
        command = Command("10.0.0.5", "shutdown -r now", user="debian", port=2222, sudo=True)
        assert command.line() == "sudo -n -- sh -c 'shutdown -r now'"
        assert command.text().startswith("ssh -p 2222 debian@10.0.0.5 ")
        assert Command.from_json(json.loads(json.dumps(command.to_json()))) == command
        with pytest.raises(BadInput, match="not whole"):
            Command.from_json({"command": "x"})


class TestRunning:
    def test_runs_and_tells_how_it_ended(self, guest: Machine, ssh_to: Callable[..., Ssh]) -> None:
        result = ssh_to(guest).run(Command(HOST, "fail here", sudo=True))
        assert (result.exit_status, result.stderr) == (3, "grüße\n")
        assert guest.commands == ["sudo -n -- sh -c 'fail here'"]

    def test_much_output_on_both_streams(self, guest: Machine, ssh_to: Callable[..., Ssh]) -> None:
        result = ssh_to(guest).run(Command(HOST, "big"))
        assert (len(result.stdout), len(result.stderr)) == (5_000_000, 5_000_000)

    def test_a_connection_that_ends_in_mid_command(self, guest: Machine, ssh_to: Callable[..., Ssh]) -> None:
        with pytest.raises(Dropped, match="it may have been done"):
            ssh_to(guest).run(Command(HOST, "reboot"))
        assert guest.commands == ["reboot"]

    def test_a_command_that_does_not_end(self, guest: Machine, ssh_to: Callable[..., Ssh]) -> None:
        with pytest.raises(Dropped, match="did not end in time"):
            ssh_to(guest, command_timeout=0.3).run(Command(HOST, "hang"))
        assert guest.commands == ["hang"]

    def test_connecting_is_tried_again(self, guest: Machine, ssh_to: Callable[..., Ssh]) -> None:
        guest.refuse_next = 1
        assert ssh_to(guest, patience=10).run(Command(HOST, "true")).exit_status == 0
        assert guest.logins == 2

    def test_many_threads_share_one(self, guest: Machine, ssh_to: Callable[..., Ssh]) -> None:
        ssh, results = ssh_to(guest, at_once=4, patience=10), []
        threads = [
            threading.Thread(target=lambda: results.append(ssh.run(Command(HOST, "true")).exit_status))
            for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [0] * 12


class TestRefusals:
    def test_an_unknown_host_key(
        self, guest: Machine, start: Callable[[], Machine], ssh_to: Callable[..., Ssh]
    ) -> None:
        with pytest.raises(
            LoginRefused, match=r"host key of 127\.0\.0\.1 port \d+, ssh-ed25519 SHA256:.* is not in .*known_hosts"
        ):
            ssh_to(start(), port=guest.port).run(Command(HOST, "true"))
        assert not guest.commands

    def test_a_changed_host_key(self, guest: Machine, ssh_to: Callable[..., Ssh], tmp_path: Path) -> None:
        ssh, other = ssh_to(guest), asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        (tmp_path / "known_hosts").write_text(f"[{HOST}]:{guest.port} {other}")
        with pytest.raises(LoginRefused, match="not the known ssh-ed25519") as caught:
            ssh.run(Command(HOST, "true"))
        assert caught.value.lasting
        assert guest.logins == 1
        assert not guest.commands

    def test_a_refused_login(self, guest: Machine, ssh_to: Callable[..., Ssh]) -> None:
        with pytest.raises(LoginRefused, match="refuses the login of root"):
            ssh_to(guest).run(Command(HOST, "true", user="root"))
        assert guest.logins == 1

    def test_a_key_with_a_passphrase(
        self, guest: Machine, key: asyncssh.SSHKey, ssh_to: Callable[..., Ssh], tmp_path: Path
    ) -> None:
        key.write_private_key(tmp_path / "locked", passphrase="pw9")
        with pytest.raises(LoginRefused, match="agent"):
            ssh_to(guest, key_files=str(tmp_path / "locked")).run(Command(HOST, "true"))

    def test_a_missing_key_file(self, guest: Machine, ssh_to: Callable[..., Ssh]) -> None:
        with pytest.raises(BadInput, match="/none does not exist"):
            ssh_to(guest, key_files="/none").run(Command(HOST, "true"))

    def test_nobody_listens(self, guest: Machine, ssh_to: Callable[..., Ssh]) -> None:
        ssh = ssh_to(guest, port=free_port())
        with pytest.raises(HostUnreachable, match="can't be reached by SSH"):
            ssh.run(Command(HOST, "true"))
        assert not ssh.answers(HOST)

    def test_a_kernel_that_refuses_is_not_silent(self, guest: Machine, ssh_to: Callable[..., Ssh]) -> None:
        assert ssh_to(guest, port=free_port()).presence(HOST) == "refuses"
        assert ssh_to(guest).presence("no.such.host.invalid") == "refuses"

    def test_silence(self, guest: Machine, ssh_to: Callable[..., Ssh]) -> None:
        with contextlib.ExitStack() as stack:
            full = stack.enter_context(socket.create_server((HOST, 0), backlog=0))
            # Nobody accepts, and the queue is full: from now on the kernel drops what comes, as if nobody were there.
            for _ in range(3):
                link = stack.enter_context(socket.socket())
                link.setblocking(False)
                link.connect_ex(full.getsockname())
            assert ssh_to(guest, connect_timeout=0.3).presence(HOST, full.getsockname()[1]) == "silent"

    def test_answers(self, guest: Machine, ssh_to: Callable[..., Ssh]) -> None:
        assert ssh_to(guest).answers(HOST)


class TestJumpHost:
    @pytest.fixture
    def jump(self, start: Callable[[], Machine]) -> Machine:
        return start()

    @pytest.fixture
    def ssh(self, guest: Machine, jump: Machine, ssh_to: Callable[..., Ssh]) -> Ssh:
        return ssh_to(guest, jump, jump=f"debian@{HOST}:{jump.port}")

    def test_runs_behind_it(self, guest: Machine, jump: Machine, ssh: Ssh) -> None:
        assert ssh.run(Command(HOST, "true")).stdout == "ran true\n"
        assert jump.forwarded == [guest.port]
        assert ssh.answers(HOST)

    def test_its_host_key_is_checked_too(self, guest: Machine, jump: Machine, ssh_to: Callable[..., Ssh]) -> None:
        ssh = ssh_to(guest, jump=f"debian@{HOST}:{jump.port}")
        with pytest.raises(LoginRefused, match=f"port {jump.port}, .* is not in"):
            ssh.run(Command(HOST, "true"))

    def test_it_lets_nothing_through(self, jump: Machine, ssh: Ssh) -> None:
        jump.forwards = False
        with pytest.raises(LoginRefused, match="allow TCP forwarding"):
            ssh.run(Command(HOST, "true"))

    def test_nothing_behind_it(self, ssh: Ssh) -> None:
        port = free_port()
        with pytest.raises(HostUnreachable, match=rf":{port} can't be reached by SSH through debian@"):
            ssh.run(Command(HOST, "true", port=port))
        assert not ssh.answers(HOST, port)

    def test_it_is_down(self, guest: Machine, ssh_to: Callable[..., Ssh]) -> None:
        ssh = ssh_to(guest, jump=f"debian@{HOST}:{free_port()}")
        with pytest.raises(HostUnreachable):
            ssh.run(Command(HOST, "true"))
        with pytest.raises(HostUnreachable):
            ssh.answers(HOST)

    def test_an_address_that_is_none(self, guest: Machine, ssh_to: Callable[..., Ssh]) -> None:
        with pytest.raises(BadInput, match="user@host:port"):
            ssh_to(guest, jump="me@host:ssh").run(Command(HOST, "true"))


def test_users_per_image() -> None:
    settings = SshSettings(user="root", users={"debian-12": "debian"})
    assert (settings.user_for("debian-12"), settings.user_for(None)) == ("debian", "root")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])
