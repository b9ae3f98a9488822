"""``python -m stackmend.lab.simulated --directory DIR [--port N] [--schema modern|legacy]``."""

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

from stackmend.lab.simulated import files, furniture
from stackmend.lab.simulated.app import SERVICES, service_app
from stackmend.lab.simulated.cloud import Cloud
from stackmend.lab.simulated.control_api import control_app
from stackmend.lab.simulated.listeners import Listener


def main() -> None:
    """Serve a simulated cloud until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m stackmend.lab.simulated", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="where its files go; must hold no older cloud")
    parser.add_argument("--port", type=int, default=0, help="identity's port (0: a free one)")
    parser.add_argument("--schema", choices=("modern", "legacy"), default="modern", help="cinder's and nova's tables")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.directory, arguments.port, legacy=arguments.schema == "legacy"))


async def serve(directory: Path, port: int, *, legacy: bool) -> None:
    """Start everything, say so in DIR/cloud.json, and stay until a signal."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in (*directory.glob("*.sqlite*"), directory / "cloud.json", directory / "journal.jsonl"):
        old.unlink(missing_ok=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    cloud = Cloud(directory.resolve(), legacy=legacy)
    furniture.furnish(cloud)
    control = await _open(cloud, port)
    await cloud.ssh.sync()
    files.write_all(cloud, f"http://127.0.0.1:{control.port}/_lab", cloud.ssh.port)
    beating = asyncio.create_task(cloud.hypervisors.heartbeats())
    await stop.wait()
    beating.cancel()
    cloud.drop_background()
    await cloud.ssh.close()
    with contextlib.suppress(asyncio.CancelledError):
        await beating


async def _open(cloud: Cloud, port: int) -> Listener:
    for service in SERVICES:
        listener = cloud.listeners.add(
            service.name, service_app(cloud, service), port if service.name == "identity" else 0
        )
        await listener.open()
    control = Listener(control_app(cloud))
    await control.open()
    return control


if __name__ == "__main__":
    main()
