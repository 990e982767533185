from fractions import Fraction

import pytest

from jupyter_kube.localcluster.quantities import parse, pod_amounts, text


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("1", 1),
        ("500m", Fraction(1, 2)),
        ("2Gi", 2 * 2**30),
        ("1.5Ki", 1536),
        ("1G", 10**9),
        ("1e3", 1000),
        ("5E", 5 * 10**18),
        ("-2", -2),
        (4, 4),
        (0.5, Fraction(1, 2)),
    ],
)
def test_quantities_are_parsed_exactly(written, amount):
    assert parse(written) == amount


@pytest.mark.parametrize("written", ["", "1 Gi", "Gi", "1Gib", "1.2.3", "0x1"])
def test_what_is_no_quantity_is_refused(written):
    with pytest.raises(ValueError, match="quantities must match"):
        parse(written)


@pytest.mark.parametrize(
    ("name", "amount", "written"),
    [
        ("requests.memory", 2 * 2**30, "2Gi"),
        ("requests.memory", 1536 * 2**20, "1536Mi"),
        ("requests.memory", 1000, "1000"),
        ("limits.cpu", Fraction(3, 2), "1500m"),
        ("limits.cpu", 4, "4"),
        ("requests.memory", 0, "0"),
    ],
)
def test_amounts_are_printed_as_kubernetes_does(name, amount, written):
    assert text(name, Fraction(amount)) == written


def test_a_pod_asks_for_the_sum_of_its_containers_with_limits_for_requests():
    pod = {
        "spec": {
            "containers": [
                {"resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "2"}}},
                {"resources": {"limits": {"cpu": "1", "nvidia.com/gpu": "1"}}},
                {},
            ],
            "initContainers": [{"resources": {"requests": {"cpu": "4"}}}],
        }
    }
    assert pod_amounts(pod) == {"cpu": 4, "nvidia.com/gpu": 1}
    assert pod_amounts(pod, "limits") == {"cpu": 3, "nvidia.com/gpu": 1}
