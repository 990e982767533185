import itertools

from jupyter_kube.localcluster.addresses import AddressPool


def test_clusters_of_one_machine_share_no_address():
    pools = [AddressPool() for _ in range(20)]
    try:
        for pool in pools:
            pool.open()
        blocks = {pool.take().split(".")[1] for pool in pools}
        assert len(blocks) == len(pools)
    finally:
        for pool in pools:
            pool.close()


def test_addresses_are_of_this_machine_and_do_not_repeat():
    pool = AddressPool()
    pool.open()
    taken = [pool.take() for _ in range(1000)]
    pool.close()
    assert len(set(taken)) == 1000
    assert all(address.startswith("127.") for address in taken)
    assert not any(address.endswith((".0", ".255")) for address in itertools.islice(taken, 600))
