"""Nothing runs before its plan is approved, by whoever approves it."""

from desk import Desk, quick

START = ("run", "power-loss", *quick(), "--key", "storm")


def test_without_a_yes_the_run_waits(pair: Desk) -> None:
    started = pair.typed(*START)
    assert (started.code, started.out) == (6, "")
    assert "waits for approval" in started.err
    assert "stackmend approve" in started.err
    assert (pair.touched(), pair.calls()) == ([], [])
    (row,) = pair.stackmend("list", "-f", "json").data
    assert (row["Key"], row["Procedure"], row["State"]) == ("storm", "power-loss", "awaiting-approval")
    status = pair.stackmend("status", "storm", "-f", "json")
    assert (status.code, status.data["state"]) == (6, "awaiting-approval")
    assert status.data["next"] == f"stackmend approve {row['Run']}"


def test_resume_before_the_approval(pair: Desk) -> None:
    assert pair.stackmend(*START).code == 6
    for verb in ("resume", "retry"):
        ended = pair.stackmend(verb, "storm")
        assert ended.code in (2, 6), ended
        assert "Traceback" not in ended.err
    assert pair.stackmend("resume", "storm").code == 6
    assert (pair.touched(), pair.calls()) == ([], [])


def test_approve_and_resume(pair: Desk) -> None:
    assert pair.stackmend(*START).code == 6
    approved = pair.stackmend("approve", "storm", "--reason", "the power is back")
    assert approved.code == 0
    assert "stackmend resume" in approved.err
    assert pair.touched() == []
    resumed = pair.stackmend("resume", "storm", "-f", "json")
    assert (resumed.code, resumed.data["state"]) == (0, "done")
    assert sorted(pair.rebooted()) == ["db", "web"]
    events = {event["what"]: event for event in pair.stackmend("report", "storm", "-f", "json").data["events"]}
    assert events["approved"]["detail"] == "the power is back"
    assert events["approved"]["who"]


def test_approving_twice_changes_nothing(pair: Desk) -> None:
    assert pair.stackmend(*START).code == 6
    assert [pair.stackmend("approve", "storm").code for _ in range(2)] == [0, 0]
    assert pair.stackmend("resume", "storm").code == 0
    events = [event["what"] for event in pair.stackmend("report", "storm", "-f", "json").data["events"]]
    assert events.count("approved") == 1


def test_one_key_is_one_run(pair: Desk) -> None:
    first = pair.stackmend(*START, "--yes", "-f", "json")
    assert first.code == 0
    pair.cloud.clear_journal()
    again = pair.stackmend(*START, "--yes", "-f", "json")
    assert "exists already for this key" in again.err
    assert again.data["run"] == first.data["run"]
    assert pair.touched() == []
    assert len(pair.stackmend("list", "-f", "json").data) == 1
