"""Messages on a front end's websocket: in Jupyter's v1 protocol, or JSON where it is unknown."""

from __future__ import annotations

import json
from typing import Any

from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)

V1 = "v1.kernel.websocket.jupyter.org"
"""The subprotocol that JupyterLab and Notebook ask for."""

Message = dict[str, Any]


def pack(protocol: str | None, channel: str, header: Message, content: Message) -> str | bytes:
    """Pack a request, in the protocol that the server has chosen."""
    if protocol == V1:
        parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
        packed: bytes = serialize_msg_to_ws_v1(parts, channel)
        return packed
    message = {"channel": channel, "header": header, "parent_header": {}, "metadata": {}}
    return json.dumps({**message, "content": content, "buffers": []})


def unpack(protocol: str | None, raw: str | bytes) -> Message:
    """Unpack a message of the kernel: a dict with its parts, ``channel`` and ``msg_type``."""
    if protocol == V1:
        channel, parts = deserialize_msg_from_ws_v1(raw)
        names = ("header", "parent_header", "metadata", "content")
        message = {name: json.loads(part) for name, part in zip(names, parts, strict=False)}
        message |= {"channel": channel, "buffers": parts[4:]}
    elif isinstance(raw, bytes):
        message = deserialize_binary_message(raw)
    else:
        message = json.loads(raw)
    return {**message, "msg_type": message["header"]["msg_type"]}
