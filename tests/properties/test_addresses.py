"""Where a database is: a service's own .conf file, a URL, the run store's. Taken, or refused, and no password told."""

from pathlib import Path

import pytest
from desk import Desk
from hypothesis import example, given
from hypothesis import strategies as st
from properties.commands import refused_or_done
from properties.examples import few
from properties.plans import refusal

from stackmend.clients.database import Database, database_url_from_conf
from stackmend.errors import BadInput, StackmendError

_LINES = (
    *("[database]", "[DEFAULT]", "connection = mysql://u:s3cret@h/nova", "connection=", "connection", "  continued"),
    *("connection = '", 'connection = "x"', "[database", "=", "%(x)s = %", "[]", "\0", "[(none)]", " = 3", "a\tb", "#"),
)
_QUERIES = ("", "?charset=utf8", "?foo=bar", "?read_timeout=soon", "?ssl_ca=/x", "?timeout=x", "?a&b=%")
_PLACES = (
    *("127.0.0.1:1/x", "u:s3cret@127.0.0.1:1/x", "127.0.0.1:99999/x", "[::1]:1/x", "h:port/x"),
    *("/", "", "@:/", "%zz@/"),
)
_KINDS = ("mysql", "mysql+pymysql", "mysql+other", "mariadb", "sqlite", "sqlite+aiosqlite", "oracle", "")
_STORES = (
    *("", "nonsense", "\0", "oracle://x", "sqlite:////dev/shm/x?timeout=soon", "sqlite:////dev/null/x"),
    *("sqlite+aiosqlite:////dev/null/x", "mysql://u:s3cret@h:port/x", "mysql://u:s3cret@127.0.0.1:99999/x"),
    "mysql://u:s3cret@127.0.0.1:1/x?foo=bar",
)
urls = st.builds("{}://{}{}".format, *map(st.sampled_from, (_KINDS, _PLACES, _QUERIES)))


@given(text=st.lists(st.sampled_from(_LINES), max_size=6).map("\n".join) | st.text(max_size=30))
@example(text="[database]\nconnection\n  continued")
@example(text="[database]\nconnection = '")
def test_a_services_conf(text: str, desk_directory: Path) -> None:
    path = desk_directory / "nova.conf"
    path.write_bytes(text.encode(errors="surrogatepass"))
    try:
        assert database_url_from_conf(path)
    except BadInput as refused:
        refusal(refused, "s3cret")


@few(40)
@given(url=urls | st.text(max_size=12))
@example(url="mysql://u:s3cret@127.0.0.1:1/x?foo=bar")
@example(url="mysql://u:s3cret@127.0.0.1:1/x?read_timeout=soon")
@example(url="mysql://u:s3cret@127.0.0.1:1/x?ssl_ca=/nowhere")
@example(url="mysql://u:s3cret@127.0.0.1:99999/x")
@example(url="sqlite:////etc/hostname?timeout=soon")
@example(url="sqlite+aiosqlite:////etc/hostname")
@example(url="\0")
def test_the_address_of_a_database(url: str) -> None:
    try:
        database = Database("nova", url, connect_timeout=1, patience=0.0)
        database.has("instances", "uuid")
    except StackmendError as refused:
        refusal(refused, "s3cret")
    else:
        database.close()


@pytest.mark.parametrize("url", _STORES)
def test_the_address_of_the_run_store(pair: Desk, url: str) -> None:
    pair.settings(store=url)
    ended = pair.stackmend("list")
    assert ended.code in (0, 2, 8), ended
    assert [word for word in ("Traceback", "s3cret") if word in ended.err] == []


@pytest.mark.parametrize("word", ["\ud800", "", "\0", "a\nb", "-", "../..", "x" * 5000])
@pytest.mark.parametrize("command", ["status {}", "run power-loss --key {}", "plan power-loss --server {}", "show {}"])
def test_the_words_of_a_command(pair: Desk, command: str, word: str) -> None:
    refused_or_done(pair, *[part.format(word) for part in command.split()])
