"""A front end of widgets: what JupyterLab does with the messages of a kernel, without a browser."""

from __future__ import annotations

import queue
import re
from html import unescape

VIEW = "application/vnd.jupyter.widget-view+json"
PATIENCE = 20.0


class FrontEnd:
    """Knows the state of all widgets of a kernel, and acts on them as a user would.

    Parameters
    ----------
    client
        The kernel's, with its channels open.

    """

    def __init__(self, client):
        self.client = client
        self.models = {}
        self.shown = []
        """What was displayed, as bundles by MIME type."""
        self.subshell = None
        self.idle = set()
        """Requests that the kernel is done with."""

    def hear(self, message):
        """Take in a message of the iopub channel."""
        kind, content = message["msg_type"], message["content"]
        if kind == "comm_open" and content["target_name"] == "jupyter.widget":
            self.models[content["comm_id"]] = dict(content["data"]["state"])
        elif kind == "comm_msg" and content["comm_id"] in self.models:
            if content["data"]["method"] == "update":
                self.models[content["comm_id"]] |= content["data"]["state"]
        elif kind == "comm_close":
            self.models.pop(content["comm_id"], None)
        elif kind == "status" and content["execution_state"] == "idle":
            self.idle.add(message["parent_header"].get("msg_id"))
        elif kind == "display_data":
            self.shown.append(content["data"])

    def until(self, condition, what):
        """Take in messages until a condition returns something true, and return that."""
        while not (found := condition()):
            self._next(what)
        return found

    def _next(self, what):
        """Take in one message."""
        try:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"{what} did not come; there is: {self.text()}") from None
        self.hear(message)
        return message

    def run(self, code, cell=""):
        """Run a cell to its end; ``cell``: its id, which JupyterLab tells."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        sent = self.client.session.msg("execute_request", content, metadata={"cellId": cell})
        self.client.shell_channel.send(sent)
        ours = sent["header"]["msg_id"]
        self.until(lambda: ours in self.idle, f"the end of {code!r}")
        return self.client._recv_reply(ours, timeout=PATIENCE)["content"]

    def on_subshell(self):
        """Send from now on as front ends do that have subshells: a cell that runs is passed by."""
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        reply = self.client.get_control_msg(timeout=PATIENCE)
        self.subshell = reply["content"]["subshell_id"]

    def below(self, model):
        """Return a widget's model and those of all within it, by their order on the screen."""
        state = self.models[model]
        found = [model]
        if (state.get("layout") or "") and self._hidden(state):
            return []
        for child in state.get("children") or ():
            found += self.below(child.removeprefix("IPY_MODEL_"))
        return found

    def _hidden(self, state):
        layout = self.models.get(state["layout"].removeprefix("IPY_MODEL_"), {})
        return layout.get("display") == "none"

    @property
    def panel(self):
        """The model of the panel displayed last."""
        return next(data[VIEW]["model_id"] for data in reversed(self.shown) if VIEW in data)

    def find(self, label):
        """Return the model of the visible field or button with a label; None if there is none."""
        for model in self.below(self.panel):
            state = self.models[model]
            if state.get("description") == label and "HTML" not in state["_model_name"]:
                return model
        return None

    def value(self, label):
        """Return what is in a field."""
        return self.models[self.find(label)]["value"]

    def html(self):
        """Return all HTML that is visible."""
        states = [self.models[model] for model in self.below(self.panel)]
        return "\n".join(s["value"] for s in states if s["_model_name"] == "HTMLModel")

    def text(self):
        """Return what can be read."""
        return unescape(re.sub("<[^>]*>", " ", self.html())) if self.shown else ""

    def set(self, label, **state):
        """Change a field as a user does."""
        self._send(self.find(label), {"method": "update", "state": state, "buffer_paths": []})
        self.models[self.find(label)] |= state

    def click(self, label):
        """Press a button."""
        self._send(self.find(label), {"method": "custom", "content": {"event": "click"}})

    def choose(self, label, option):
        """Choose from a list by its label."""
        options = self.models[self.find(label)]["_options_labels"]
        self.set(label, index=list(options).index(option))

    def _send(self, model, data):
        assert model is not None, self.text()
        message = self.client.session.msg("comm_msg", {"comm_id": model, "data": data})
        message["header"]["subshell_id"] = self.subshell
        self.client.shell_channel.send(message)
