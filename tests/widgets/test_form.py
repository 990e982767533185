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
