"""RabbitMQ: the message bus, and Erlang's port mapper in front of it."""

from collections.abc import Iterable

from stackmend.lab.openstack.binaries import path_of
from stackmend.lab.openstack.daemon import Daemon
from stackmend.lab.openstack.services.base import Config, Service
from stackmend.lab.openstack.site import ADDRESS


class RabbitMQ(Service):
    """One broker; what it holds is below ``run``, so that it begins without any message."""

    name = "rabbitmq"
    word = "messages"

    def configs(self) -> Iterable[Config]:
        """The broker's file, and that it has no plugin."""
        return (Config("rabbitmq/rabbitmq.conf"), Config("rabbitmq/enabled_plugins"))

    def daemons(self) -> list[Daemon]:
        """The port mapper first: the broker would start one that outlives it."""
        ports = self.site.ports
        mapper = (path_of("epmd"), "-port", str(ports["epmd"]), "-address", ADDRESS)
        broker = (str(self.site.broker / "rabbitmq-server"),)
        return [
            Daemon("epmd", mapper, port=ports["epmd"]),
            Daemon("rabbitmq", broker, self._environment(), after=("epmd",), port=ports["rabbitmq"]),
        ]

    def _environment(self) -> dict[str, str]:
        ports = self.site.ports
        store = self.site.run / "rabbitmq"
        return {
            "RABBITMQ_NODENAME": "lab@localhost",
            "RABBITMQ_NODE_PORT": str(ports["rabbitmq"]),
            "RABBITMQ_NODE_IP_ADDRESS": ADDRESS,
            "RABBITMQ_DIST_PORT": str(ports["rabbitmq-distribution"]),
            "ERL_EPMD_PORT": str(ports["epmd"]),
            "ERL_EPMD_ADDRESS": ADDRESS,
            "RABBITMQ_MNESIA_BASE": str(store),
            "RABBITMQ_LOG_BASE": str(store),
            "RABBITMQ_CONFIG_FILE": self.etc("rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": self.etc("none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.etc("enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}",
        }
