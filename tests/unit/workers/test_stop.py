import os
import select
import signal
import threading
import time

from nodeagent.workers.stop import Stop, on_signals


def test_a_stop_is_set_once_and_for_all_until_cleared() -> None:
    stop = Stop()
    assert not stop.is_set()
    stop.set()
    stop.set()
    assert stop.is_set()
    assert stop.wait(0)
    assert stop.wait()
    stop.clear()
    stop.clear()
    assert not stop.is_set()


def test_wait_gives_up_after_its_time() -> None:
    before = time.monotonic()
    assert Stop().wait(0.02) is False
    assert Stop().wait(-1) is False
    assert 0.02 <= time.monotonic() - before < 5


def test_a_signal_handler_may_set_it_while_its_own_thread_waits() -> None:
    stop = Stop()
    before = signal.signal(signal.SIGUSR1, lambda *_: stop.set())
    try:
        sender = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
        sender.start()
        assert stop.wait(10)
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_it_can_be_polled_beside_other_descriptors() -> None:
    stop = Stop()
    assert select.select([stop], [], [], 0)[0] == []
    stop.set()
    assert select.select([stop], [], [], 0)[0] == [stop]


def test_the_descriptor_goes_with_the_event() -> None:
    stop = Stop()
    descriptor = stop.fileno()
    assert os.path.exists(f"/proc/self/fd/{descriptor}")
    del stop
    assert not os.path.exists(f"/proc/self/fd/{descriptor}")


def test_signals_set_it_for_as_long_as_the_block_runs() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    for number in (signal.SIGTERM, signal.SIGINT):
        with on_signals() as stop:
            assert not stop.is_set()
            os.kill(os.getpid(), number)
            assert stop.wait(10)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
