"""What each source posts, as JSON Schema: what is checked, and what /openapi.json shows.

Where a format is fixed (Aodh's, masakari's, our agent's) an unknown field is refused; Alertmanager and Zaqar may say
more than we read.
"""

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 255}
_TIME: Schema = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}"}
_TEXTS: Schema = {"type": "object", "additionalProperties": _TEXT}


def _strict(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _open(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


_AODH_STATE: Schema = {"enum": ["ok", "alarm", "insufficient data"]}
AODH = _strict(
    ["alarm_name", "alarm_id", "severity", "previous", "current", "reason", "reason_data"],
    alarm_name=_NAME,
    alarm_id=_NAME,
    severity=_TEXT,
    previous=_AODH_STATE,
    current=_AODH_STATE,
    reason={"type": ["string", "null"]},
    reason_data={"type": ["object", "null"]},
)

ALERTMANAGER = _open(
    ["version", "alerts"],
    version={"const": "4"},
    groupKey=_TEXT,
    receiver=_TEXT,
    alerts={
        "type": "array",
        "items": _open(
            ["status", "labels", "startsAt"],
            status={"enum": ["firing", "resolved"]},
            labels=_TEXTS,
            annotations=_TEXTS,
            startsAt=_TIME,
            fingerprint={"type": "string", "maxLength": 64},
        ),
    },
)

# An alarm in our own words, for those who send one through a queue by themselves.
PLAIN = _strict(
    ["name", "state"],
    name=_NAME,
    id=_NAME,
    state={"enum": ["firing", "ok", "insufficient"]},
    host={"type": "string", "maxLength": 255},
    severity=_TEXT,
    labels=_TEXTS,
    at=_TIME,
)
_MESSAGE = _open(["body"], body={"oneOf": [AODH, PLAIN]}, queue_name=_TEXT)
_TRIGGER = _open(
    ["workflow_id", "params"],
    workflow_id=_TEXT,
    params=_open(["env"], env=_open(["notification"], notification=_MESSAGE)),
)
_CONFIRMATION = _open(["Message_Type"], Message_Type={"const": "SubscriptionConfirmation"})
ZAQAR: Schema = {"anyOf": [_MESSAGE, _TRIGGER, _CONFIRMATION]}

_EVENT: Schema = {"enum": ["STARTED", "STOPPED"]}
_HOST_PAYLOAD = _strict(
    ["event"],
    event=_EVENT,
    host_status={"enum": ["NORMAL", "UNKNOWN"]},
    cluster_status={"enum": ["ONLINE", "OFFLINE"]},
)
_PROCESS_PAYLOAD = _strict(["process_name", "event"], process_name=_TEXT | {"minLength": 1}, event=_EVENT)
_VM_PAYLOAD = _strict(
    ["instance_uuid", "vir_domain_event", "event"], instance_uuid=_NAME, vir_domain_event=_NAME, event=_NAME
)


def _notification(kind: str, payload: Schema) -> Schema:
    return _strict(
        ["type", "hostname", "generated_time", "payload"],
        type={"const": kind},
        hostname=_NAME,
        generated_time=_TIME,
        payload=payload,
    )


MASAKARI = _strict(
    ["notification"],
    notification={
        "oneOf": [
            _notification("COMPUTE_HOST", _HOST_PAYLOAD),
            _notification("PROCESS", _PROCESS_PAYLOAD),
            _notification("VM", _VM_PAYLOAD),
        ]
    },
)

# The variables of Pacemaker's alerts, without CRM_alert_.
PACEMAKER_FIELDS = (
    *("kind", "node", "nodeid", "desc", "task", "rc", "target_rc", "status", "rsc", "interval", "exec_time"),
    *("timestamp", "timestamp_epoch", "timestamp_usec", "node_sequence", "version"),
    *("attribute_name", "attribute_value", "recipient"),
)
PACEMAKER = _strict(
    ["alert", "reporter"],
    alert=_strict(
        ["kind", "node"],
        **dict.fromkeys(PACEMAKER_FIELDS, _TEXT)
        | {"kind": {"enum": ["node", "fencing", "resource", "attribute"]}, "node": _NAME},
    ),
    reporter=_NAME,
)
