"""The jobs that a panel shows, whoever adds and closes them at the same time."""

import threading
from types import SimpleNamespace

import ipywidgets as w

from jupyter_kube.widgets import panel as panels


class Box:
    """Stands in for a job's box: only that it comes and goes counts here."""

    def __init__(self, job, _namespace, *, on_close, **_options):
        self.name, self.phase, self.widget = job.name, "running", w.VBox()
        self.dismiss = lambda: on_close(self)


class Screen:
    """Shows the boxes; meanwhile, once, something else is done in another thread."""

    def __init__(self):
        self.shown, self.meanwhile = (), None

    @property
    def children(self):
        return self.shown

    @children.setter
    def children(self, shown):
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile.start()
            meanwhile.join(0.5)  # it gets as far as it may
        self.shown = shown


def test_a_box_that_is_closed_while_another_one_comes_is_gone(monkeypatch):
    monkeypatch.setattr(panels, "JobBox", Box)
    shell = SimpleNamespace(user_ns={}, history_manager=SimpleNamespace(input_hist_raw=[""]))
    panel = panels.Panel(shell)
    screen = panel._watched = Screen()
    panel._add(SimpleNamespace(name="old"), mine=True)
    closing = threading.Thread(target=panel._boxes["old"].dismiss)
    screen.meanwhile = closing
    panel._add(SimpleNamespace(name="new"), mine=True)
    closing.join()
    assert list(panel._boxes) == ["new"]
    assert screen.shown == (panel._boxes["new"].widget,)
