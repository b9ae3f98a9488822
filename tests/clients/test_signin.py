"""Signing in and finding services: every way it can fail is one sentence without a secret."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_cloud import Reply, Site

from stackmend.clients.cloud import ApiCall, Cloud, Timeouts, new_request_id
from stackmend.errors import BadInput, Refused, Unauthorized, Unreachable

REBOOT = ApiCall("compute", "POST", "/servers/s1/action", {"reboot": {"type": "HARD"}}, "2.79")
OURS = new_request_id("run", "server.reboot:s1", 1)


class TestConnecting:
    def test_identity_and_fingerprint(self, site: Site, cloud: Cloud) -> None:
        identity = cloud.identity
        assert (identity.name, identity.region, identity.user_name) == ("test", "R1", "ann")
        assert (identity.project_id, identity.user_id) == ("p1", "u1")
        assert len(identity.fingerprint) == 16

    def test_microversions(self, cloud: Cloud) -> None:
        assert cloud.max_microversion("compute") == (2, 96)
        assert cloud.pick("compute", "2.9", "2.95", "2.100") == "2.95"
        with pytest.raises(Refused, match=r"up to 2\.96 and this needs 2\.100"):
            cloud.pick("compute", "2.100", "2.101")

    def test_an_unknown_name(self, clouds_yaml: Callable[..., None]) -> None:
        clouds_yaml("http://127.0.0.1:1/v3")
        with pytest.raises(BadInput, match="nowhere"):
            Cloud.connect("nowhere")

    def test_an_unknown_region(self, clouds_yaml: Callable[..., None]) -> None:
        clouds_yaml("http://127.0.0.1:1/v3")
        with pytest.raises(BadInput, match="Mars"):
            Cloud.connect("test", region="Mars")

    def test_no_authentication_configured(
        self, clouds_yaml: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", "none-such.yaml")
        with pytest.raises(BadInput, match="auth_url"):
            Cloud.connect()

    def test_a_clouds_file_that_is_no_yaml(
        self, clouds_yaml: Callable[..., None], caplog: pytest.LogCaptureFixture
    ) -> None:
        clouds_yaml("http://127.0.0.1:1/v3")
        Path("clouds.yaml").write_text("clouds: [\n")
        # A command that was typed before in this process has told libraries to be quiet.
        caplog.set_level(logging.WARNING, logger="openstack")
        with pytest.raises(BadInput, match="test was not found"):
            Cloud.connect("test")
        assert "Skipping config file" in caplog.text

    def test_keystone_unreachable(self, clouds_yaml: Callable[..., None]) -> None:
        clouds_yaml("http://127.0.0.1:1/v3")
        cloud = Cloud.connect("test", timeouts=Timeouts(patience=0.2))
        with pytest.raises(Unreachable, match=r"identity at http://127.0.0.1:1/v3 could not sign user ann in"):
            cloud.send(REBOOT, OURS)
        cloud.close()

    def test_keystone_ill(self, site: Site, cloud: Cloud) -> None:
        site.login_status = 500
        with pytest.raises(Unreachable, match="keystone is ill"):
            cloud.get("compute", "/servers")

    def test_a_bad_password_is_never_shown_nor_repeated(self, site: Site, clouds_yaml: Callable[..., None]) -> None:
        clouds_yaml(f"{site.url}/v3", password="wr0ng-one")
        cloud = Cloud.connect("test")
        with pytest.raises(Unauthorized, match="credentials of user ann") as caught:
            cloud.get("compute", "/servers")
        assert "wr0ng-one" not in str(caught.value)
        assert site.logins == 1
        cloud.close()

    def test_a_certificate_that_nobody_signed(
        self, site: Site, clouds_yaml: Callable[..., None], tmp_path: Path
    ) -> None:
        site.speak_tls(tmp_path)
        clouds_yaml(f"{site.url}/v3")
        cloud = Cloud.connect("test")
        with pytest.raises(Unreachable, match=r"TLS connection to identity failed .*set cacert"):
            cloud.get("compute", "/servers")
        cloud.close()

    def test_a_certificate_of_the_configured_authority(
        self, site: Site, clouds_yaml: Callable[..., None], tmp_path: Path
    ) -> None:
        certificate = site.speak_tls(tmp_path)
        clouds_yaml(f"{site.url}/v3", cacert=str(certificate))
        site.script("GET", "/servers", Reply(body={}))
        cloud = Cloud.connect("test")
        assert cloud.get("compute", "/servers") == {}
        cloud.close()

    def test_no_endpoint(self, cloud: Cloud) -> None:
        with pytest.raises(Unreachable, match=r"cloud test, region R1 has no placement endpoint"):
            cloud.get("placement", "/usages")

    def test_a_service_that_shows_no_versions(self, site: Site, cloud: Cloud) -> None:
        site.discovery_down = True
        with pytest.raises(Unreachable, match="is the service up"):
            cloud.max_microversion("compute")
        site.discovery_down = False
        assert cloud.max_microversion("compute") == (2, 96)
