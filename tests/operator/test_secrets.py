"""Secrets: planted wherever one may lie, and looked for in everything that is written or said."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from desk import Desk, Ended, assert_refused, quick

SECRET = "swordfish"
# Each planted secret has its own number behind the word, so that a leak tells where it came from.
PASSWORD, CONF, USER_DATA, METADATA, CHAP, LOST_DATABASE = (f"{SECRET}-{number}" for number in range(6))


@pytest.fixture
def full_of_secrets(shop: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A shop where every place that may hold a secret holds one."""
    clouds = yaml.safe_load(Path(shop.cloud.description["clouds_yaml"]).read_text())
    clouds["clouds"]["sim"]["auth"]["password"] = PASSWORD
    (shop.cloud.directory / "secret-clouds.yaml").write_text(yaml.safe_dump(clouds))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(shop.cloud.directory / "secret-clouds.yaml"))
    with closing(sqlite3.connect(shop.cloud.directory / "lab.sqlite", timeout=10)) as link, link:
        link.execute("UPDATE users SET password = ? WHERE name = 'admin'", (PASSWORD,))
    for name in ("nova", "cinder"):
        path, url = shop.cloud.directory / f"secret-{name}.conf", shop.cloud.description["databases"][name]
        path.write_text(f"[database]\nconnection = {url}\n[keystone_authtoken]\npassword = {CONF}\n")
    shop.execute("nova", "UPDATE instances SET user_data = ?", USER_DATA)
    for key in ("admin_pass", "dsn"):
        statement = (
            "INSERT INTO instance_metadata (key, value, instance_uuid, deleted) SELECT ?, ?, uuid, 0 FROM instances"
        )
        shop.execute("nova", statement, key, f"mysql://app:{METADATA}@db/app")
    info = json.dumps({"driver_volume_type": "iscsi", "data": {"auth_password": CHAP, "auth_username": "u"}})
    shop.execute("nova", "UPDATE block_device_mapping SET connection_info = ? WHERE volume_id IS NOT NULL", info)
    shop.execute("cinder", "UPDATE volume_attachment SET connection_info = ?", info)
    shop.execute("cinder", "UPDATE volumes SET provider_auth = ?", f"CHAP u {CHAP}")
    for kind, name in (("volume-error", "db-data"), ("volume-attachments-deleted", "files-1-root")):
        shop.cloud.damage(kind, shop.volumes[name])
    shop.cloud.damage("server-stuck-powering-off", shop.servers["app-2"])
    return shop


def typed(desk: Desk, *words: str) -> Ended:
    """A command that logs all it can."""
    return desk.typed("--debug", "-v", "-v", "--log-file", desk.path("debug.log"), *words)


def test_no_secret_is_written_or_said(full_of_secrets: Desk) -> None:
    desk = full_of_secrets
    sql = [
        word for name in ("nova", "cinder") for word in ("--sql", f"{name}={desk.cloud.directory}/secret-{name}.conf")
    ]
    reboot = {"service": "compute", "method": "POST", "body": "reboot"}
    desk.cloud.fault("status", status=409, path=f"{desk.servers['files-1']}/action$", **reboot)
    said = [
        typed(desk, "run", "power-loss", "--yes", "--key", "storm", *quick(), *sql),
        typed(desk, "revert", "storm", "--lane", "files-1", *sql),
        desk.stackmend("plan", "power-loss", "-o", desk.path("plan.json"), *sql),
        desk.stackmend("capture", "power-loss", "-o", desk.path("capture.json"), *sql),
        desk.stackmend("show", "storm", "-f", "json"),
        desk.stackmend("report", "storm"),
        desk.stackmend("report", "storm", "--html", desk.path("r.html"), "--json", desk.path("r.json")),
        desk.stackmend("doctor", *sql),
    ]
    assert [ended.code for ended in said] == [3, 3, 0, 0, 0, 0, 0, 0], said
    assert "db-1" in said[0].err
    assert Path(desk.path("debug.log")).stat().st_size > 10_000
    assert_silent(desk, *said)


def test_errors_keep_secrets(full_of_secrets: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = full_of_secrets
    desk.settings(patience=0.1)
    broken = Path(desk.cloud.directory / "broken.conf")
    broken.write_text(f"[database\nconnection = mysql://nova:{CONF}@127.0.0.1:1/nova\n")
    away = f"mysql+pymysql://nova:{LOST_DATABASE}@127.0.0.1:1/nova"
    desk.settings(patience=0.1, databases={"nova": away})
    said = [typed(desk, "plan", "power-loss")]
    monkeypatch.setenv("STACKMEND_STORE", away)
    said += [typed(desk, "list"), typed(desk, "plan", "power-loss", "--sql", f"nova={broken}")]
    assert [ended.code for ended in said] == [7, 8, 2], said
    # The settings are where such a URL may stand.
    Path(desk.path("stackmend.yaml")).unlink()
    assert_silent(desk, *said)


@pytest.mark.parametrize("url", [f"mysql+pymysql://u:{CONF}@h/x", f"postgresql://h/x?user=u&password={CONF}"])
def test_a_password_that_is_typed_is_refused_and_not_repeated(pair: Desk, url: str) -> None:
    for words in (("list", "--store", url), ("plan", "power-loss", "--sql", f"nova={url}")):
        ended = pair.stackmend(*words)
        assert_refused(pair, ended, 2, f"{words[-2]}", "everybody on this machine can see")
        assert SECRET not in ended.err


def assert_silent(desk: Desk, *said: Ended) -> None:
    """No secret, token or private key in what was said, nor in any file on the desk."""
    written = {str(path): path.read_bytes() for path in desk.directory.rglob("*") if path.is_file()}
    for number, ended in enumerate(said):
        written |= {f"stdout {number}": ended.out.encode(), f"stderr {number}": ended.err.encode()}
    assert {desk.path("debug.log")} <= set(written)
    leaks = {
        where: sorted({found.decode() for found in re.findall(rb"swordfish-\d|gAAAAA[0-9a-f]{16}|PRIVATE KEY", text)})
        for where, text in written.items()
    }
    assert {where: found for where, found in leaks.items() if found} == {}
