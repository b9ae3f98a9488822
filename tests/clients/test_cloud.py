"""Cloud: what is repeated, what never is, and one sentence for every failure."""

import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from scripted_cloud import PASSWORD, Reply, Site

from stackmend.clients.cloud import ApiCall, CallRecord, Cloud, Timeouts, new_request_id
from stackmend.errors import AnswerLost, BadInput, Refused, StackmendError, Unauthorized, Unreachable

REBOOT = ApiCall("compute", "POST", "/servers/s1/action", {"reboot": {"type": "HARD"}}, "2.79")
PATH = REBOOT.path
OURS = new_request_id("run", "server.reboot:s1", 1)


def sends(site: Site) -> int:
    return len(site.calls("POST", "/compute/v2.1" + PATH))


def reads(site: Site, path: str = "/servers") -> int:
    return len(site.calls("GET", "/compute/v2.1" + path))


class TestApiCall:
    def test_text_shows_the_call_on_one_line(self) -> None:
        assert REBOOT.text() == 'POST compute /servers/s1/action {"reboot": {"type": "HARD"}} (2.79)'

    def test_text_masks_secrets_and_json_keeps_them(self) -> None:
        call = ApiCall("compute", "POST", "/x", {"rebuild": {"adminPass": "hunter2", "list": [{"token": "t"}]}})
        assert "hunter2" not in call.text()
        assert ApiCall.from_json(json.loads(json.dumps(call.to_json()))) == call

    def test_a_torn_record_is_bad_input(self) -> None:
        with pytest.raises(BadInput, match="not whole"):
            ApiCall.from_json({"service": "compute"})

    def test_request_ids_depend_on_run_step_and_attempt_only(self) -> None:
        assert new_request_id("run", "step", 1) == new_request_id("run", "step", 1)
        assert new_request_id("run", "step", 1) != new_request_id("run", "step", 2)
        assert len(OURS) == len("req-") + 36


class TestSend:
    def test_sends_exactly_what_the_plan_shows(self, site: Site, cloud: Cloud) -> None:
        site.script("POST", PATH, Reply(202))
        answer = cloud.send(REBOOT, OURS)
        seen = site.calls("POST", "/compute/v2.1" + PATH)[0]
        assert seen.body == REBOOT.body
        assert seen.headers["X-Openstack-Request-Id"] == OURS
        assert seen.headers["OpenStack-API-Version"] == "compute 2.79"
        assert (answer.status, answer.request_id, answer.body) == (202, "req-theirs", None)
        assert answer.date == datetime(2026, 11, 21, 7, 0, tzinfo=UTC)

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_busy_service_is_asked_again(self, site: Site, cloud: Cloud, status: int) -> None:
        site.script("POST", PATH, Reply(status, headers={"Retry-After": "0"}), Reply(202))
        assert cloud.send(REBOOT, OURS).status == 202
        assert sends(site) == 2

    def test_a_service_that_stays_busy_is_unreachable(self, site: Site, cloud: Cloud) -> None:
        site.script("POST", PATH, Reply(503, raw=b"<html><title>x</title><h1>503 No server</h1></html>"))
        with pytest.raises(Unreachable, match="503 No server"):
            cloud.send(REBOOT, OURS)

    def test_a_long_retry_after_is_not_waited_for_beyond_patience(self, site: Site, cloud: Cloud) -> None:
        site.script("POST", PATH, Reply(429, headers={"Retry-After": "3600"}))
        with pytest.raises(Unreachable, match="429"):
            cloud.send(REBOOT, OURS)
        assert sends(site) == 1

    @pytest.mark.parametrize(
        "reply",
        [Reply(500), Reply(502), Reply(504), Reply(cut=True), Reply(hang=True), Reply(202, raw=b"{oops")],
        ids=["500", "502", "504", "cut", "read-timeout", "malformed"],
    )
    def test_a_lost_answer_is_never_sent_again(self, site: Site, cloud: Cloud, reply: Reply) -> None:
        site.script("POST", PATH, reply)
        with pytest.raises(AnswerLost, match="it may have happened") as caught:
            cloud.send(REBOOT, OURS)
        assert OURS in str(caught.value)
        assert sends(site) == 1

    def test_a_torn_answer_is_lost(self, site: Site, cloud: Cloud) -> None:
        site.script("POST", PATH, Reply(202, raw=b"{}", headers={"Content-Length": "50"}))
        with pytest.raises(AnswerLost):
            cloud.send(REBOOT, OURS)
        assert sends(site) == 1

    def test_a_conflict_is_refused_in_the_services_own_words(self, site: Site, cloud: Cloud) -> None:
        said = "Cannot 'reboot' instance s1 while it is in task_state rebooting_hard"
        site.script("POST", PATH, Reply(409, {"conflictingRequest": {"code": 409, "message": said}}))
        with pytest.raises(Refused, match="while it is in task_state rebooting_hard") as caught:
            cloud.send(REBOOT, OURS)
        assert caught.value.status == 409
        assert sends(site) == 1

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({"NeutronError": {"type": "T", "message": "Port p is bad", "detail": ""}}, "Port p is bad"),
            ({"errors": [{"status": 400, "title": "Bad", "detail": "no inventory"}]}, "no inventory"),
            ({}, "Bad Request"),
        ],
    )
    def test_each_services_error_shape_is_read(self, site: Site, cloud: Cloud, body: object, words: str) -> None:
        site.script("POST", PATH, Reply(400, body))
        with pytest.raises(Refused, match=words):
            cloud.send(REBOOT, OURS)

    def test_missing_rights_name_the_call_and_the_role(self, site: Site, cloud: Cloud) -> None:
        said = "Policy doesn't allow os_compute_api:servers:reboot to be performed."
        site.script("POST", PATH, Reply(403, {"forbidden": {"code": 403, "message": said}}))
        with pytest.raises(Unauthorized, match=r"/servers/s1/action .* user ann: Policy .* role"):
            cloud.send(REBOOT, OURS)

    def test_a_quota_is_no_matter_of_rights(self, site: Site, cloud: Cloud) -> None:
        site.script("POST", PATH, Reply(403, {"forbidden": {"code": 403, "message": "Quota exceeded for cores"}}))
        with pytest.raises(Refused, match="Quota exceeded"):
            cloud.send(REBOOT, OURS)

    def test_an_expired_token_is_renewed_once(self, site: Site, cloud: Cloud) -> None:
        site.script("POST", PATH, Reply(202))
        cloud.send(REBOOT, OURS)
        site.valid_tokens.clear()
        assert cloud.send(REBOOT, OURS).status == 202
        assert site.logins == 2

    def test_a_token_that_is_never_accepted_is_unauthorized(self, site: Site, cloud: Cloud) -> None:
        site.script("POST", PATH, Reply(401, {"error": {"message": "nope"}}))
        with pytest.raises(Unauthorized, match="token of user ann"):
            cloud.send(REBOOT, OURS)
        assert sends(site) == 2

    def test_a_service_that_is_down_was_never_sent_anything(self, site: Site, cloud: Cloud) -> None:
        site.script("POST", PATH, Reply(202))
        cloud.send(REBOOT, OURS)
        site.server.shutdown()
        site.server.server_close()
        cloud.close()
        with pytest.raises(Unreachable, match="refused"):
            cloud.send(REBOOT, OURS)


class TestGet:
    @pytest.mark.parametrize(
        "reply",
        [
            *(Reply(status) for status in (429, 500, 502, 503, 504)),
            *(Reply(cut=True), Reply(hang=True), Reply(raw=b"[oops")),
        ],
        ids=["429", "500", "502", "503", "504", "cut", "read-timeout", "malformed"],
    )
    def test_a_read_is_repeated_until_it_succeeds(
        self, site: Site, connect: Callable[..., Cloud], reply: Reply
    ) -> None:
        site.script("GET", "/servers", reply, Reply(body={"servers": []}))
        cloud = connect(timeouts=Timeouts(connect=2, read=0.5, patience=10))
        assert cloud.get("compute", "/servers") == {"servers": []}
        assert reads(site) == 2

    def test_a_read_that_never_succeeds_is_unreachable(self, site: Site, cloud: Cloud) -> None:
        site.script("GET", "/servers", Reply(500, {"computeFault": {"message": "Unexpected API Error"}}))
        with pytest.raises(Unreachable, match="Unexpected API Error"):
            cloud.get("compute", "/servers")

    def test_retry_after_is_waited_for(self, site: Site, connect: Callable[..., Cloud]) -> None:
        times: list[float] = []
        cloud = connect(
            timeouts=Timeouts(patience=10),
            on_call=lambda record: times.append(time.monotonic()),
        )
        site.script("GET", "/servers", Reply(503, headers={"Retry-After": "1"}), Reply(body={}))
        cloud.get("compute", "/servers")
        assert times[1] - times[0] >= 1

    def test_find_gives_none_for_what_is_not_there(self, site: Site, cloud: Cloud) -> None:
        site.script("GET", "/servers/x", Reply(404, {"itemNotFound": {"message": "no x"}}))
        assert cloud.find("compute", "/servers/x") is None
        with pytest.raises(Refused, match="no x"):
            cloud.get("compute", "/servers/x")

    def test_pages_follow_the_links_whatever_host_they_name(self, site: Site, cloud: Cloud) -> None:
        link = {"rel": "next", "href": "http://internal:8774/v2.1/servers?marker=a&limit=1&status=A&status=B"}
        first = Reply(body={"servers": [{"id": "a"}], "servers_links": [link]})
        site.script("GET", "/servers", first, Reply(body={"servers": [{"id": "b"}]}))
        assert [row["id"] for row in cloud.pages("compute", "/servers", "servers", {"x": "1"})] == ["a", "b"]
        one, two = site.calls("GET", "/compute/v2.1/servers")
        assert one.query == {"limit": ["1000"], "x": ["1"]}
        assert two.query == {"marker": ["a"], "limit": ["1"], "status": ["A", "B"]}

    def test_pages_that_go_in_circles_end(self, site: Site, cloud: Cloud) -> None:
        link = {"rel": "next", "href": "http://x/servers?marker=a"}
        site.script("GET", "/servers", Reply(body={"servers": [{"id": "a"}], "servers_links": [link]}))
        with pytest.raises(Unreachable, match="circles"):
            list(cloud.pages("compute", "/servers", "servers"))


class TestSharing:
    def test_every_exchange_is_reported_without_secrets(
        self, site: Site, connect: Callable[..., Cloud], caplog: pytest.LogCaptureFixture
    ) -> None:
        records: list[CallRecord] = []
        cloud = connect(on_call=records.append)
        site.script("POST", PATH, Reply(503, headers={"Retry-After": "0"}), Reply(cut=True))
        with caplog.at_level(logging.DEBUG), pytest.raises(AnswerLost):
            cloud.send(REBOOT, OURS)
        assert [(record.status, record.request_id) for record in records] == [(503, OURS), (None, OURS)]
        assert [record.answered_request_id for record in records] == ["req-theirs", ""]
        ours = [entry.getMessage() for entry in caplog.records if entry.name == "stackmend.calls"]
        assert len(ours) == 2
        assert "token-1" not in caplog.text
        assert PASSWORD not in caplog.text

    def test_calls_in_flight_are_bounded_per_service(self, site: Site, connect: Callable[..., Cloud]) -> None:
        cloud = connect(limits={"compute": 3}, timeouts=Timeouts(patience=10))
        cloud.max_microversion("compute")
        site.script("GET", "/servers", Reply(body={}))
        site.slow, site.most_running = 0.02, 0
        failures: list[StackmendError] = []

        def read() -> None:
            try:
                cloud.get("compute", "/servers")
            except StackmendError as error:
                failures.append(error)

        threads = [threading.Thread(target=read) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert reads(site) == 30
        assert site.most_running <= 3

    def test_threads_that_lose_the_same_token_sign_in_once(self, site: Site, connect: Callable[..., Cloud]) -> None:
        cloud = connect(timeouts=Timeouts(patience=10))
        site.script("GET", "/servers", Reply(body={}))
        cloud.get("compute", "/servers")
        site.valid_tokens.clear()
        site.slow = 0.02
        threads = [threading.Thread(target=cloud.get, args=("compute", "/servers")) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert site.logins == 2
