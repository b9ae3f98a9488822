"""The benchmark of evacuations: who asked what, as the access logs tell it."""

from collections import Counter
from pathlib import Path

from bench import access, evacuation_page
from bench.access import CHANGE, LIST, ONE, SIGN_IN, Call
from bench.evacuation_page import Cost
from bench.rescues import Loop, Masakari, Stackmend

_KEYSTONEAUTH = "keystoneauth1/5.18.1 python-requests/2.34.2 CPython/3.11.7"
_SERVER = "24cd06e1-4539-4045-a133-465026e10a0d"
_NOVA = f"""\
GET / 200 1 stackmend openstacksdk/4.22.0 {_KEYSTONEAUTH}
GET /v2.1/servers/detail?all_tenants=1&limit=1000 200 310 stackmend openstacksdk/4.22.0 {_KEYSTONEAUTH}
GET /v2.1/servers/{_SERVER} 200 60 python-novaclient
GET /v2.1/servers/{_SERVER} 200 70 python-novaclient
POST /v2.1/servers/{_SERVER}/action 200 300 stackmend openstacksdk/4.22.0 {_KEYSTONEAUTH}
POST /v2.1/os-server-external-events 200 90 python-novaclient
"""
_KEYSTONE = f"""\
POST /v3/auth/tokens 201 160 masakari-engine {_KEYSTONEAUTH}
POST /v3/auth/tokens 201 150 nova-compute {_KEYSTONEAUTH}
"""
_CINDER = "GET /v3/0123456789abcdef0123456789abcdef/volumes/detail 200 40 \n"


def test_a_way_is_told_from_the_services_by_its_user_agent(tmp_path: Path) -> None:
    for api, text in (("nova-api", _NOVA), ("keystone", _KEYSTONE), ("cinder-api", _CINDER)):
        (tmp_path / f"{api}.access.log").write_text(text)
    found = access.calls(tmp_path)
    assert found.total() == 9
    assert Call("nova-api", "GET", "/v2.1/servers/ID", "python-novaclient") in found

    def own(way: Stackmend | Masakari | Loop) -> Counter[str]:
        kinds: Counter[str] = Counter()
        for call, count in found.items():
            kinds[call.kind] += count if way.asks(call) else 0
        return +kinds

    assert own(Stackmend(tmp_path)) == Counter({SIGN_IN: 1, LIST: 1, CHANGE: 1})
    assert own(Masakari(3)) == Counter({SIGN_IN: 1, ONE: 2})
    assert [call.kind for call in found if call.api == "cinder-api"] == [LIST]


def test_the_page_tells_medians_for_each_size_and_way() -> None:
    costs = [Cost(back, back + 1, 1400, 200, Counter({LIST: 60, CHANGE: 22}), 80.0) for back in (50.0, 58.0, 54.0)]
    found = {(20, "stackmend"): costs}
    assert evacuation_page.table(found)[-1] == "| 20 | stackmend | 54.0 | 55.0 | 1400 | 200 | 82 | 80.0 |"
    assert evacuation_page.own_table(found)[-1] == "| 20 | stackmend | 0 | 60 | 0 | 22 |"
