import asyncio
import time

from bench.stalls import Stalls

WORK = 0.05


def test_work_of_a_loop_is_told_from_time_in_which_it_had_no_processor():
    async def measure(hold):
        stalls = Stalls()
        beating = asyncio.create_task(stalls.run())
        await asyncio.sleep(0.01)
        stalls.take()
        hold()
        await asyncio.sleep(0.01)
        beating.cancel()
        return stalls.take()

    def work():
        end = time.thread_time() + WORK
        while time.thread_time() < end:
            pass

    worked, waited = asyncio.run(measure(work)), asyncio.run(measure(lambda: time.sleep(WORK)))
    assert worked["longest"][0] >= WORK * 900
    assert worked["work"][0] >= WORK * 1000
    assert waited["longest"][0] >= WORK * 900
    assert waited["work"][0] < WORK * 1000
