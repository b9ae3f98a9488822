"""Management controllers that are programs: sushy-tools' Redfish with TLS and passwords, OpenIPMI's ipmi_sim."""

import base64
import contextlib
import datetime
import ipaddress
import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USER, SECRET = "admin", "s3cret-of-the-bmc"
NEEDED = ("fence_redfish", "fence_ipmilan", "ipmitool", "ipmi_sim")
_LAN = """name "bmc"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{chassis} 0x20"
  user 2 true "{user}" "{secret}" admin 10 none md2 md5 straight
"""
_EMU = """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
"""
_CHASSIS = """#!/bin/sh
# MC get|set power [0|1]
case "$2 $3" in
  "get power") echo "power:$(cat {state})" ;;
  "set power") echo "$4" > {state} ;;
esac
"""


def missing() -> str:
    """What is to be installed before these tests can run; empty when all is there."""
    absent = [name for name in NEEDED if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
    packages = "fence-agents openipmi ipmitool"
    return f"{', '.join(absent)} not found: apt-get install --no-install-recommends {packages}" if absent else ""


@contextlib.contextmanager
def redfish(directory: Path, *systems: str) -> Iterator[int]:
    """A Redfish controller of these systems; its port."""
    port = _free_port(socket.SOCK_STREAM)
    _certificate(directory)
    secret = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode()
    (directory / "htpasswd").write_text(f"{USER}:{secret}\n")
    fakes = [{"uuid": system, "name": system, "power_state": "On", "nics": []} for system in systems]
    (directory / "sushy.conf").write_text(
        f"SUSHY_EMULATOR_FAKE_SYSTEMS = {fakes!r}\n"
        f"SUSHY_EMULATOR_SSL_CERT = {str(directory / 'bmc.crt')!r}\n"
        f"SUSHY_EMULATOR_SSL_KEY = {str(directory / 'bmc.key')!r}\n"
        f"SUSHY_EMULATOR_AUTH_FILE = {str(directory / 'htpasswd')!r}\n"
        f"SUSHY_EMULATOR_STATE_DIR = {str(directory)!r}\n"
        "SUSHY_EMULATOR_FEATURE_SET = 'full'\n"
    )
    emulator = str(Path(sys.executable).with_name("sushy-emulator"))
    command = [emulator, "--config", str(directory / "sushy.conf"), "--fake", "-i", "127.0.0.1", "-p", str(port)]
    with _running(command, directory / "sushy.log", lambda: _listens(port)):
        yield port


def power(port: int, system: str) -> str:
    """What a Redfish controller says of a system's power: On, Off."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    login = base64.b64encode(f"{USER}:{SECRET}".encode()).decode()
    url = f"https://127.0.0.1:{port}/redfish/v1/Systems/{system}"
    asked = urllib.request.Request(url, headers={"Authorization": f"Basic {login}"})
    with urllib.request.urlopen(asked, timeout=20, context=context) as answer:
        return str(json.load(answer)["PowerState"])


@contextlib.contextmanager
def ipmi(directory: Path) -> Iterator[int]:
    """An IPMI controller of one chassis, whose power is the file ``power`` (1 or 0); its port."""
    port = _free_port(socket.SOCK_DGRAM)
    chassis, state = directory / "chassis.sh", directory / "power"
    state.write_text("1\n")
    chassis.write_text(_CHASSIS.format(state=state))
    chassis.chmod(0o755)
    (directory / "lan.conf").write_text(_LAN.format(port=port, chassis=chassis, user=USER, secret=SECRET))
    (directory / "sim.emu").write_text(_EMU)
    (directory / "state").mkdir()
    files = ["-c", str(directory / "lan.conf"), "-f", str(directory / "sim.emu"), "-s", str(directory / "state")]
    with _running(["ipmi_sim", *files, "-n"], directory / "ipmi.log", lambda: _udp_taken(port)):
        yield port


@contextlib.contextmanager
def _running(command: list[str], log: Path, ready: Callable[[], bool]) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 20
        while not ready():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _certificate(directory: Path) -> None:
    """A certificate for 127.0.0.1 that nobody but its file vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bmc")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "bmc.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain, pkcs8 = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
    (directory / "bmc.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))


def _free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _udp_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False
