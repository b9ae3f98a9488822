"""What holds the board of lanes: Redis, alone or watched by a sentinel, etcd and ZooKeeper, for real, behind TLS."""

import contextlib
from pathlib import Path

import redis

from stackmend.lab.servers import SECRET, Server, certificate

# A user with a password, and no more rights than TaskFlow's board needs.
USER = "stackmend"
_RIGHTS = "~* &* -@all +@read +@write +@connection +@scripting +@transaction +info"


class Redis(Server):
    """redis-server with TLS only, users, and nothing kept on disk."""

    # What a server takes beside: a replica its master.
    more: tuple[str, ...] = ()

    def prepare(self) -> None:
        """A certificate for itself; the file with its users."""
        self.certificate, self.key = certificate(self.directory)
        (self.directory / "password").write_text(f"{SECRET}\n")
        users = [f"user default on >{SECRET} ~* &* +@all", f"user {USER} on >{SECRET} {_RIGHTS}"]
        (self.directory / "users").write_text("\n".join([*users, ""]))

    def command(self) -> list[str]:
        """As its manual says."""
        kept = ["--save", "", "--appendonly", "no", "--aclfile", str(self.directory / "users")]
        return ["redis-server", "--bind", "127.0.0.1", *self.tls(), *kept, *self.more]

    def tls(self) -> list[str]:
        """No other port than that for TLS."""
        files = ["--tls-cert-file", self.certificate, "--tls-ca-cert-file", self.certificate]
        files += ["--tls-key-file", self.key, "--tls-auth-clients", "no", "--tls-replication", "yes"]
        return ["--port", "0", "--tls-port", str(self.port), *files]

    @property
    def board(self) -> dict[str, object]:
        """The setting ``board``."""
        tls = {"ssl": True, "ssl_ca_certs": self.certificate}
        secret = {"username": USER, "password_file": str(self.directory / "password")}
        return {"kind": "redis", "host": "127.0.0.1", "port": self.port, **tls, **secret}

    def works(self) -> None:
        """It takes a command of the board's user."""
        with contextlib.closing(_client(self.port, self.certificate, USER)) as client:
            client.ping()


class WatchedRedis(Server):
    """A Redis, one that follows it, and the sentinel that puts the one in the other's place."""

    name = "lanes"

    def prepare(self) -> None:
        """Both servers, who trust each other's certificate, and the sentinel's file."""
        self.master, self.replica = Redis(self.directory / "master"), Redis(self.directory / "replica")
        self.replica.certificate, self.replica.key = self.master.certificate, self.master.key
        self.replica.more = ("--replicaof", f"127.0.0.1 {self.master.port}", "--masterauth", SECRET)
        watched = [f"monitor {self.name} 127.0.0.1 {self.master.port} 1", f"auth-pass {self.name} {SECRET}"]
        watched += [f"down-after-milliseconds {self.name} 1000", f"failover-timeout {self.name} 3000"]
        tls = [f"tls-{name}" for name in ("auth-clients no", "replication yes", f"port {self.port}")]
        files = {"cert": self.master.certificate, "key": self.master.key, "ca-cert": self.master.certificate}
        tls += [f"tls-{name}-file {file}" for name, file in files.items()]
        lines = ["port 0", "bind 127.0.0.1", *tls, f"requirepass {SECRET}", *(f"sentinel {line}" for line in watched)]
        (self.directory / "sentinel.conf").write_text("\n".join([*lines, ""]))

    def command(self) -> list[str]:
        """The sentinel."""
        return ["redis-server", str(self.directory / "sentinel.conf"), "--sentinel"]

    def start(self) -> None:
        """All three."""
        self.master.start()
        self.replica.start()
        super().start()

    def stop(self, kill: bool = False) -> None:
        """All three."""
        super().stop(kill)
        self.replica.stop(kill)
        self.master.stop(kill)

    def works(self) -> None:
        """The sentinel knows of a replica that has all that the master has."""
        with contextlib.closing(_client(self.port, self.master.certificate)) as sentinel:
            if not [one for one in sentinel.sentinel_slaves(self.name) if one["master-link-status"] == "ok"]:
                raise OSError("no replica yet")

    @property
    def board(self) -> dict[str, object]:
        """The setting ``board``."""
        own = {"port": self.port, "sentinel": self.name}
        return {**self.master.board, **own, "sentinel_password_file": self.master.board["password_file"]}


def _client(port: int, authority: str, user: str | None = None) -> "redis.Redis":
    return redis.Redis("127.0.0.1", port, username=user, password=SECRET, ssl=True, ssl_ca_certs=authority)


class Etcd(Server):
    """etcd, one member."""

    def prepare(self) -> None:
        """Its certificate."""
        self.certificate, self.key = certificate(self.directory)

    def command(self) -> list[str]:
        """As its manual says."""
        own, peer = f"https://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.port + 1}"
        urls = ["--listen-client-urls", own, "--advertise-client-urls", own, "--listen-peer-urls", peer]
        urls += ["--initial-advertise-peer-urls", peer, "--initial-cluster", f"one={peer}"]
        tls = ["--cert-file", self.certificate, "--key-file", self.key]
        return ["etcd", "--name", "one", "--data-dir", str(self.directory / "data"), *urls, *tls]

    @property
    def board(self) -> dict[str, object]:
        """The setting ``board``."""
        tls = {"protocol": "https", "ca_cert": self.certificate}
        return {"kind": "etcd", "host": "127.0.0.1", "port": self.port, "path": "/stackmend", **tls}


class ZooKeeper(Server):
    """ZooKeeper, alone, with quick ticks."""

    def prepare(self) -> None:
        """Its configuration, and its certificate with the key as Java takes them: in one file."""
        self.certificate, key = certificate(self.directory)
        both = self.directory / "both.pem"
        both.write_text(Path(key).read_text() + Path(self.certificate).read_text())
        lines = ["tickTime=500", f"dataDir={self.directory / 'data'}", "admin.enableServer=false"]
        lines += [f"secureClientPort={self.port}", "secureClientPortAddress=127.0.0.1", "ssl.clientAuth=none"]
        lines += ["serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory"]
        lines += [f"ssl.keyStore.location={both}", f"ssl.trustStore.location={self.certificate}"]
        (self.directory / "zoo.cfg").write_text("\n".join([*lines, ""]))

    def command(self) -> list[str]:
        """The server's class, without the scripts around it."""
        jars = ["/etc/zookeeper/conf", "/usr/share/java/zookeeper.jar"]
        # TLS is netty's, which its jar does not name.
        jars += sorted(str(jar) for jar in Path("/usr/share/java").glob("netty-*.jar"))
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return ["java", "-Xmx256m", "-cp", ":".join(jars), main, str(self.directory / "zoo.cfg")]

    @property
    def board(self) -> dict[str, object]:
        """The setting ``board``."""
        where = {"hosts": f"127.0.0.1:{self.port}", "path": "/stackmend", "timeout": 4.0}
        return {"kind": "zookeeper", "use_ssl": True, "ca": self.certificate, **where}
