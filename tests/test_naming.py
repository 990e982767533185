"""Names are valid, readable and never collide."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube import naming

RFC1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")


@given(st.text())
def test_safe_name_is_a_valid_label_whatever_the_text(text):
    name = naming.safe_name(text)
    assert RFC1123.fullmatch(name)
    assert len(name) <= 63


@given(st.text(), st.text())
def test_different_texts_give_different_names(one, other):
    assert (naming.safe_name(one) == naming.safe_name(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("a-b", "a_b"), ("Al", "al"), ("a@b", "a-b"), ("x" * 70, "x" * 71), ("", " ")],
)
def test_texts_with_the_same_slug_do_not_collide(one, other):
    assert naming.safe_name(one) != naming.safe_name(other)
    assert naming.user_hash(one) != naming.user_hash(other)


@given(st.text(), st.text(min_size=1))
def test_job_names_leave_room_for_their_pods_names(base, submission):
    name = naming.job_name(base, submission)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
    assert len(f"{name}-1000-abcde") <= 63


def test_kernel_names_depend_on_the_whole_id():
    assert naming.kernel_name("a") == naming.kernel_name("a")
    assert naming.kernel_name("a") != naming.kernel_name("b")
    assert RFC1123.fullmatch(naming.kernel_name("../../x"))


@given(st.text())
def test_a_user_becomes_a_label_value(user):
    assert LABEL.fullmatch(naming.user_hash(user))


def test_labels_carry_the_manager_and_the_extras():
    assert naming.labels("kernel", user="ann", kernel_id="k1") == {
        "app.kubernetes.io/managed-by": "jupyter-kube",
        "app.kubernetes.io/component": "kernel",
        "jupyter-kube/user-hash": naming.user_hash("ann"),
        "jupyter-kube/kernel-id": "k1",
    }


def test_selector_selects_what_labels_made():
    wanted = set(naming.selector(component="job", job="digits-1a2b").split(","))
    have = {f"{key}={value}" for key, value in naming.labels("job", job="digits-1a2b").items()}
    assert wanted == have


@pytest.mark.parametrize("value", ["x,owner!=me", "x in (a,b)", "a\nb", "", "-a", "a=b", "x" * 64])
def test_selector_refuses_what_could_change_its_meaning(value):
    with pytest.raises(ValueError, match="not a label value"):
        naming.selector(kernel_id=value)
