"""The panel's form, whatever is done with its buttons."""

from jupyter_kube.kube.room import Fit
from jupyter_kube.widgets.form import RunForm


def test_clicks_before_an_answer_submit_one_job():
    """As a front end sends them that has not heard yet that the button is off."""
    submitted = []
    form = RunForm(
        lambda: [""],
        "x = 1",
        [],
        lambda _wish, source: submitted.append(source),
        lambda wish: Fit(None, wish.workers, ""),
    )
    form._run.click()
    form._run.click()
    assert submitted == ["x = 1"]
    form.say("Submitted: digits-7f3a.")
    form._run.click()
    assert submitted == ["x = 1", "x = 1"]


def test_what_is_no_refusal_is_logged_with_its_traceback(caplog):
    def submit(_wish, _source):
        raise ZeroDivisionError("of a value that is packed")

    form = RunForm(lambda: [""], "x = 1", [], submit, lambda wish: Fit(None, wish.workers, ""))
    form._run.click()
    assert "ZeroDivisionError: of a value" in form._said.value
    assert "in submit" in caplog.text
    caplog.clear()
    form._workers.value = "none"
    form._run.click()
    assert "none" in form._said.value
    assert not caplog.text
