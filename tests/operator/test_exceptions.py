"""A server that can't be recovered stops its own lane only; an operator mends, retries, skips or gives up."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from desk import Desk, quick
from waiting import until

ACTION = {"service": "compute", "method": "POST"}


def refuse(desk: Desk, name: str, status: int = 409) -> None:
    """From now on nova refuses to do anything with this server."""
    desk.cloud.fault("status", status=status, path=f"{desk.servers[name]}/action$", **ACTION)


def assert_only_web_failed(desk: Desk, ended: Any, why: str) -> None:
    """The run ended with web's exception; it is named, with the next command."""
    assert (ended.code, ended.data["state"]) == (3, "done-with-exceptions"), ended.err
    states = {lane["title"]: lane["state"] for lane in ended.data["lanes"] if lane["stage"] == "recover"}
    assert states == {"db": "done", "web": "failed"}
    assert "web: failed" in ended.err
    (error,) = [lane["error"] for lane in ended.data["lanes"] if lane["error"]]
    assert why in error
    assert ended.data["next"] == f"stackmend retry {ended.data['run']}"


@pytest.fixture
def failed(pair: Desk) -> Desk:
    """A run that ended with web's reboot refused; nothing refuses any more."""
    refuse(pair, "web")
    assert pair.run("--key", "storm").code == 3
    pair.cloud.clear_faults()
    return pair


class TestWhatFails:
    """One server, for different reasons."""

    def test_nova_refuses(self, pair: Desk) -> None:
        refuse(pair, "web")
        assert_only_web_failed(pair, pair.run(), "409")
        assert pair.rebooted() == ["db"]

    def test_nova_breaks(self, pair: Desk) -> None:
        pair.settings(settle=0.2)
        refuse(pair, "web", 500)
        assert_only_web_failed(pair, pair.run(), "nothing of it is to be seen in the cloud")
        assert pair.rebooted() == ["db"]

    def test_its_host_is_down(self, pair: Desk) -> None:
        pair.cloud.host("sim-c02", "kill")
        pair.cloud.damage("heartbeat-stale", "sim-c02")
        assert_only_web_failed(pair, pair.run(), "nova-compute on sim-c02 is down")
        assert pair.rebooted() == ["db"]
        pair.cloud.host("sim-c02", "start")
        assert pair.stackmend("retry", "last").code == 0
        assert Counter(pair.rebooted()) == {"db": 1, "web": 1}

    def test_the_cloud_never_gets_ready(self, pair: Desk) -> None:
        pair.cloud.host("sim-ctl", "kill", "nova-scheduler")
        pair.cloud.damage("heartbeat-stale", "sim-ctl")
        ended = pair.run(ready_timeout=1)
        assert (ended.code, ended.data["state"]) == (4, "needs-hands")
        assert "no nova-scheduler is up" in ended.err
        assert (pair.touched(), pair.calls()) == ([], [])
        pair.cloud.host("sim-ctl", "start", "nova-scheduler")
        # The plan's second is short for a busy machine: whoever retries until the heartbeats advance gets there.
        until(lambda: pair.stackmend("retry", "last").code == 0, "a retry found the cloud ready", 60)
        assert Counter(pair.rebooted()) == {"db": 1, "web": 1}

    @pytest.mark.parametrize(("kind", "calls"), [("cut-before", 2), ("cut-after", 1), ("malformed", 1)])
    def test_an_answer_that_was_lost(self, pair: Desk, kind: str, calls: int) -> None:
        pair.settings(settle=0.2)
        pair.cloud.fault(kind, times=1, path=f"{pair.servers['web']}/action$", **ACTION)
        assert pair.run("--server", "web").code == 0
        assert pair.rebooted() == ["web"]
        assert len(pair.calls()) == calls

    def test_a_token_that_ran_out(self, pair: Desk) -> None:
        fault = pair.cloud.fault("pause-after-effect", times=1, path="action$", **ACTION)
        running = pair.process("run", "power-loss", "--yes", *quick())
        fault.wait(60)
        pair.cloud.expire_tokens()
        fault.release()
        assert pair.ended(running).code == 0
        assert Counter(pair.rebooted()) == {"db": 1, "web": 1}


class TestGuest:
    """SSH: a guest whose host key changed is not trusted."""

    @pytest.fixture
    def web(self, shop: Desk) -> Desk:
        """The shop, of which only web-1 will be recovered."""
        return shop

    def test_a_host_key_that_changed(self, web: Desk) -> None:
        web.cloud.ssh(web.servers["web-1"], new_host_key=True)
        ended = web.run("--server", "web-1")
        assert ended.code == 3
        assert all(word in ended.err for word in ("127.", "known_hosts", "key"))
        assert not [effect for effect in web.cloud.journal("ssh.") if "shutdown" in effect["command"]]

    def test_a_host_that_is_unknown(self, web: Desk) -> None:
        Path(web.path("known_hosts")).touch()
        settings = yaml.safe_load(Path(web.path("stackmend.yaml")).read_text())
        web.settings(ssh={**settings["ssh"], "known_hosts": [web.path("known_hosts")]})
        ended = web.run("--server", "web-1")
        assert ended.code == 3
        assert all(word in ended.err for word in ("127.", web.path("known_hosts")))
        assert web.cloud.journal("ssh.") == []

    def test_a_guest_that_never_answers(self, web: Desk) -> None:
        settings = yaml.safe_load(Path(web.path("stackmend.yaml")).read_text())
        web.settings(ssh={**settings["ssh"], "patience": 0.2})
        web.cloud.ssh(web.servers["web-1"], refuse=True)
        ended = web.run("--server", "web-1", boot_timeout=2)
        assert ended.code == 3
        assert "127." in ended.err
        web.cloud.ssh(web.servers["web-1"], refuse=False)
        assert web.stackmend("retry", "last").code == 0
        assert web.rebooted() == ["web-1"]


class TestAfterwards:
    """What an operator may do with a run that ended with exceptions."""

    def test_retry(self, failed: Desk) -> None:
        ended = failed.stackmend("retry", "storm", "-f", "json")
        assert (ended.code, ended.data["state"]) == (0, "done")
        assert Counter(failed.rebooted()) == {"db": 1, "web": 1}

    def test_retry_of_one_lane(self, failed: Desk) -> None:
        ended = failed.stackmend("retry", "storm", "--lane", "db")
        assert (ended.code, "no failed step to retry there" in ended.err) == (2, True)
        assert failed.stackmend("retry", "storm", "--lane", "web").code == 0

    def test_retry_that_fails_again(self, failed: Desk) -> None:
        refuse(failed, "web")
        assert_only_web_failed(failed, failed.stackmend("retry", "storm", "-f", "json"), "409")

    def test_resume_says_what_to_do_instead(self, failed: Desk) -> None:
        ended = failed.stackmend("resume", "storm")
        assert (ended.code, "stackmend retry" in ended.err) == (2, True)

    def test_skip(self, failed: Desk) -> None:
        step = f"server.reboot:{failed.servers['web']}"
        assert failed.stackmend("skip", "storm", step, "--reason", "its owner starts it").code == 0
        failed.execute("nova", "UPDATE instances SET vm_state = 'active', power_state = 1")
        ended = failed.stackmend("resume", "storm", "-f", "json")
        assert (ended.code, ended.data["state"]) == (3, "done-with-exceptions")
        report = failed.stackmend("report", "storm").out
        assert "its owner starts it" in report
        assert failed.rebooted() == ["db"]

    def test_skip_needs_a_reason(self, failed: Desk) -> None:
        ended = failed.stackmend("skip", "storm", f"server.reboot:{failed.servers['web']}")
        assert (ended.code, "--reason" in ended.err) == (2, True)

    def test_abandon_gives_the_servers_back(self, failed: Desk) -> None:
        assert failed.run("--key", "second", "--server", "web").code == 5
        assert failed.stackmend("abandon", "storm", "--reason", "planned anew").code == 0
        assert failed.status("storm")["state"] == "abandoned"
        ended = failed.stackmend("resume", "storm")
        assert (ended.code, "abandoned" in ended.err) == (2, True)
        assert failed.run("--key", "third", "--server", "web").code == 0
        assert "planned anew" in failed.stackmend("report", "storm").out

    def test_the_report_names_the_exception(self, failed: Desk) -> None:
        data = failed.stackmend("report", "storm", "-f", "json").data
        assert [item["title"] for item in data["exceptions"]] == ["web"]
        text = failed.stackmend("report", "storm").out
        assert all(word in text for word in ("exceptions", "web", "409", "stackmend retry"))


class TestReading:
    """What only reads the store works while the cloud does not, and every command speaks JSON."""

    def test_without_a_cloud(self, failed: Desk) -> None:
        failed.cloud.power_cut()
        for words in (["list"], ["status", "storm"], ["show", "storm"], ["report", "storm"], ["watch", "storm"]):
            ended = failed.stackmend(*words)
            assert (ended.code in (0, 3), bool(ended.out)) == (True, True), ended
        page = failed.path("report.html")
        assert failed.stackmend("report", "storm", "--html", page).code == 0
        html = Path(page).read_text()
        assert "web" in html
        assert "<script" not in html
        assert "http://" not in html.replace(failed.cloud.description["urls"]["identity"], "").replace(
            "http://www.w3.org", ""
        )

    @pytest.mark.parametrize(
        "words",
        [
            ["list"],
            ["status", "storm"],
            ["show", "storm"],
            ["report", "storm"],
            ["watch", "storm"],
            ["procedure", "list"],
            ["procedure", "show", "power-loss"],
            ["doctor"],
            ["plan", "power-loss"],
            ["capture", "power-loss", "-o", "capture.json"],
            ["run", "power-loss", "--server", "idle"],
            ["run", "power-loss", "--server", "db", "--yes", *quick()],
            ["retry", "storm"],
        ],
        ids=lambda words: "-".join(words[:3]),
    )
    def test_every_command_speaks_json_and_yaml(
        self, failed: Desk, words: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(failed.directory)
        ended = failed.stackmend(*words, "-f", "json")
        assert json.loads(ended.out) is not None
        if words[0] not in ("run", "retry", "revert"):
            assert yaml.safe_load(failed.stackmend(*words, "-f", "yaml").out) == json.loads(ended.out) or words[0] in (
                "plan",
                "capture",
                "doctor",
            )


def test_the_openstack_client_has_the_same_commands(failed: Desk) -> None:
    (row,) = json.loads(failed.osc("recovery", "list", "-f", "json").out)
    assert (row["Key"], row["State"]) == ("storm", "done-with-exceptions")
    plan = failed.osc("recovery", "plan", "power-loss", "--server", "web", "-f", "json")
    assert plan.code == 0, plan.err
    assert [lane["title"] for lane in plan.data["lanes"] if lane["stage"] == "recover"] == ["web"]
    failed.cloud.service("identity", up=False)
    status = failed.osc("recovery", "status", "storm", "-f", "json")
    assert (status.code, status.data["state"]) == (3, "done-with-exceptions"), status.err
