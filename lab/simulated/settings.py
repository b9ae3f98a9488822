"""What can be turned on the simulated cloud while it runs."""

import dataclasses
from dataclasses import dataclass


@dataclass
class Settings:
    """Delays in seconds, widths and policies; every one has a small default.

    ``calls_at_once`` is how many API calls are worked on at a time, ``boots_per_host`` how many guests
    a host starts at a time. ``token_seconds`` is how long a token lives. ``report_interval`` and
    ``service_down_time`` are nova's, cinder's and neutron's heartbeat and patience.
    ``rpc_timeout`` is how long nova-api waits for a nova-compute that is dead.
    ``sync_power_states`` makes a returning nova-compute stop what it finds gone, as libvirt's does.
    ``domains_survive`` lets a hypervisor know its guests after a power cut (as libvirt does), so that
    they can be stopped; without it they are gone (as the fake driver's are).
    ``queued_casts_survive`` keeps work sent to a dead nova-compute until it returns.
    ``compute_minor`` is nova's newest microversion: 2.that. ``rebuilds_fail`` names hosts, parted by commas, on
    which no server can be built again. ``chap_password`` is in every new connection to a volume, where it is set.
    """

    call_delay: float = 0.0
    calls_at_once: int = 256
    boot_seconds: float = 0.05
    boots_per_host: int = 8
    attach_seconds: float = 0.02
    stop_seconds: float = 0.02
    evacuate_seconds: float = 0.1
    migrate_seconds: float = 0.1
    create_seconds: float = 0.02
    schedule_seconds: float = 0.01
    settle_seconds: float = 0.01
    wire_seconds: float = 0.02
    rpc_timeout: float = 1.0
    token_seconds: float = 3600.0
    report_interval: float = 1.0
    service_down_time: float = 4.0
    sync_power_states: bool = False
    domains_survive: bool = False
    queued_casts_survive: bool = True
    compute_minor: int = 104
    rebuilds_fail: str = ""
    chap_password: str = ""

    def change(self, **given: float | str) -> None:
        """Set some of them; ValueError names one that does not exist."""
        known = {field.name for field in dataclasses.fields(self)}
        unknown = sorted(set(given) - known)
        if unknown:
            raise ValueError(f"no such setting: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        for name, value in given.items():
            setattr(self, name, value)
