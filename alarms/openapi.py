"""The listener's description, made of the same schemas that requests are checked by."""

from collections.abc import Mapping
from typing import Any

from stackmend.alarms.credentials import DELIVERY, SIGNATURE, TIMESTAMP, TOKEN_HEADER
from stackmend.alarms.sources import SOURCES, Source

_TEXT = {"type": "string"}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "title", "message"],
            "properties": {"code": {"type": "integer"}, "title": _TEXT, "message": _TEXT},
        }
    },
}
_REFUSALS = {
    "400": "no JSON, or not what this source sends",
    "401": "credentials are missing or wrong",
    "403": "the token lacks the roles",
    "408": "the body came too slowly",
    "409": "this delivery is stored already",
    "413": "the body is larger than 1 MiB",
    "503": "it can't be stored, or keystone can't be asked: send it again",
}
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic", "description": "any user; the secret is the password"},
    "keystone": {"type": "apiKey", "in": "header", "name": TOKEN_HEADER},
    "hmac": {
        "type": "apiKey",
        "in": "header",
        "name": SIGNATURE,
        "description": f"sha256=HMAC of SOURCE.{TIMESTAMP}.{DELIVERY}.BODY, those being headers too",
    },
}
_BY_WAY = {"token": ("bearer", "basic"), "hmac": ("hmac",), "keystone": ("keystone",)}


def document(version: str, ways: Mapping[str, list[str]]) -> dict[str, Any]:
    """The OpenAPI document; ``ways``: how each source's senders prove themselves (credentials.Guard.ways)."""
    paths: dict[str, Any] = {
        path: {"post": _post(source, path, ways[source.name])} for source in SOURCES.values() for path in source.paths
    }
    paths["/healthz"] = {"get": _get("whether alarms are stored and decided", "application/json", 503)}
    paths["/metrics"] = {"get": _get("numbers for Prometheus", "text/plain", 503)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "stackmend listen", "version": version},
        "paths": paths,
        "components": {"securitySchemes": _SCHEMES},
    }


def _post(source: Source, path: str, ways: list[str]) -> dict[str, Any]:
    secured: list[dict[str, list[str]]] = [{scheme: []} for way in ways for scheme in _BY_WAY[way]]
    project = [{"name": "project_id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}]
    return {
        "summary": f"an alarm of {source.name}'s",
        "security": secured or [{"bearer": []}],
        **({"parameters": project} if "{project_id}" in path else {}),
        "requestBody": {"required": True, "content": {"application/json": {"schema": source.schema}}},
        "responses": {
            "202": {"description": "stored", "content": {"application/json": {"schema": {"type": "object"}}}},
            **{code: _refusal(told) for code, told in _REFUSALS.items()},
        },
    }


def _refusal(told: str) -> dict[str, Any]:
    return {"description": told, "content": {"application/json": {"schema": _ERROR}}}


def _get(summary: str, kind: str, ill: int) -> dict[str, Any]:
    answer = {"description": summary, "content": {kind: {}}}
    return {"summary": summary, "responses": {"200": answer, str(ill): answer}}
