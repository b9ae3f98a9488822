"""The whole way on the simulated cloud: a host dies, an alarm comes, a worker recovers, and it is over."""

from pathlib import Path

from listening import EVACUATE, Listening, down, over
from living import LivingDesk
from waiting import until

from bench import listen as bench
from stackmend.alarms.ledger import NOTED, SAME, STARTED
from stackmend.engine import order_status

HOST = "sim-c01"
RULE = {**EVACUATE, "parameters": {"host": "{host}", "dead": "{source}: {name}", "consent": "disk"}}


def test_a_dead_hosts_alarm_brings_its_servers_back(living: LivingDesk, tmp_path: Path) -> None:
    living.dies(HOST)
    worker = living.process("worker")
    with Listening(tmp_path, [RULE], store=f"sqlite:///{living.store}") as listening:
        listening.alert(down(HOST))
        (order,) = listening.ordered()
        until(lambda: order_status.look(listening.store, order.key)["ended"], "the worker is through with it", 90)
        found = order_status.look(listening.store, order.key)
        assert found["state"] == "done", found
        assert HOST not in {host for host, _ in living.places().values()}
        # The host stays down, and its alarm goes on; then it is up again.
        listening.alert(down(HOST))
        listening.alert(over(HOST))
        assert listening.verdicts() == [STARTED, SAME, NOTED]
        assert found["run"] in listening.why(2)
    worker.terminate()
    assert living.ended(worker).code == 0
    assert living.counted("server.evacuate") == sorted({"disk", "db", "idle", "web"})


def test_a_storm_on_loopback_loses_nothing() -> None:
    """The benchmark in small: how fast it is depends on the machine, that nothing is lost does not."""
    measured = bench.measure(rate=200, seconds=1)
    assert (len(measured.posted.accepted), measured.posted.refused, measured.lost) == (200, 0, 0)
