"""Wait until RPC servers answer: ping.py TRANSPORT_URL SECONDS EXCHANGE,TOPIC,SERVER...

Exits 0 when each has answered; else 1, and prints those that have not, one a line.
"""

import sys
import time

import oslo_messaging
from oslo_config import cfg

_PATIENCE = 1


def main(url: str, seconds: str, *names: str) -> int:
    """Ask each in turn, again and again, until all have answered or the time is over."""
    conf = cfg.CONF
    conf([], default_config_files=[], default_config_dirs=[])
    transport = oslo_messaging.get_rpc_transport(conf, url=url)
    deadline = time.monotonic() + float(seconds)
    silent = list(names)
    while silent and time.monotonic() < deadline:
        silent = [name for name in silent if not _answers(transport, name)]
    sys.stdout.writelines(f"{name}\n" for name in silent)
    return 1 if silent else 0


def _answers(transport: oslo_messaging.Transport, name: str) -> bool:
    exchange, topic, server = name.split(",")
    target = oslo_messaging.Target(exchange=exchange, topic=topic, server=server)
    client = oslo_messaging.get_rpc_client(transport, target, timeout=_PATIENCE, retry=1)
    try:
        return bool(client.call({}, "oslo_rpc_server_ping") == "pong")
    except oslo_messaging.MessagingException:
        return False


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
