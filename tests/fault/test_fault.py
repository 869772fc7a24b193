#!/usr/bin/env python3
"""test_fault.py LIBRARY PROBE: the fault library does at the Nth call what it says, for every N. TAP."""
import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

LIBRARY, PROBE = sys.argv[1:3]
FILES = ["openat2", "write", "pwrite64", "writev", "fchmod", "fdatasync", "fsync", "ftruncate64", "close", "symlinkat",
         "linkat", "renameat", "mkdirat", "unlinkat", "unlinkat", "syncfs"]
PROCESSES = ["fork", "write", "kill", "pidfd_send_signal", "send"]
SPACELESS = {"fchmod", "close", "unlinkat"}


def plain(call):
    """The name that the probe says: what is called pwrite there arrives as pwrite64."""
    return call.removesuffix("64")


class Run:
    """One run of the probe in a folder of its own."""

    def __init__(self, at=None, mode=None, *arguments, thread=None):
        with tempfile.TemporaryDirectory() as folder:
            work, log = Path(folder) / "work", Path(folder) / "log"
            work.mkdir()
            env = {**os.environ, "LD_PRELOAD": LIBRARY, "FAULT_LOG": str(log)}
            if at:
                env |= {"FAULT_AT": str(at), "FAULT_MODE": mode}
            if thread:
                env["FAULT_THREAD"] = thread
            done = subprocess.run([PROBE, work, *arguments], env=env, capture_output=True, text=True, timeout=20)
            self.status, self.said = done.returncode, done.stdout.split("\n")[:-1]
            self.log = [line.split(" ", 2) for line in log.read_text().splitlines()]
            self.calls = [call for _, call, _ in self.log]
            self.files = {p.name: p.stat().st_size for p in work.iterdir() if p.is_file()}


def counts_every_call():
    run = Run()
    assert run.calls == FILES + PROCESSES, run.calls
    assert [int(number) for number, _, _ in run.log] == list(range(1, len(run.log) + 1))
    assert run.log[0][2].endswith("/work/a") and run.log[11][2].endswith("/work/b"), run.log
    assert run.said == [plain(c) for c in FILES + PROCESSES] and run.status == 0


def kills_before_each():
    calls = FILES + PROCESSES
    for at in range(1, len(calls) + 1):
        run = Run(at, "kill")
        assert run.status == -9 and run.said == [plain(c) for c in calls[:at - 1]] and len(run.log) == at, (at, run.said)


def tears_each():
    for at in range(1, len(FILES + PROCESSES) + 1):
        run = Run(at, "tear")
        assert run.status == -9 and len(run.said) == at - 1, (at, run.said)
    assert Run(2, "tear").files == {"a": 5}       # half of ten bytes
    assert Run(12, "tear").files.keys() == {"b", "l"}  # renamed, then died; the symlink "s" now leads nowhere
    assert Run(12, "kill").files.keys() == {"a", "l", "s"}


def fails_each_once():
    for at, call in enumerate(FILES, 1):
        run = Run(at, "fail:EIO")
        failed = [line for line in run.said if line.startswith("failed")]
        assert run.status == 0 and failed[:1] == [f"failed {plain(call)} {errno.EIO}"], (call, run.said)
        assert not set(run.calls) & {"fork", "kill", "send"}, run.calls  # no disk makes them fail


def stays_full_for_what_takes_space():
    run = Run(2, "from:ENOSPC")
    failed = [line.split()[1] for line in run.said if line.startswith("failed")]
    assert "write" in failed and "fsync" in failed and "renameat" in failed, failed
    assert not {plain(c) for c in SPACELESS - {"unlinkat"}} & set(failed), failed
    assert all(line.split()[2] == str(errno.ENOSPC) for line in run.said if line.startswith("failed write"))


def children_are_not_counted():
    run = Run(2, "kill", "child")
    assert run.calls == ["fork"], run.calls
    assert run.status == 0 and "preload []" in run.said, run.said


def counts_by_thread():
    assert Run(thread="main").calls == FILES + PROCESSES
    assert Run(thread="other").calls == []
    assert Run(None, None, "thread", thread="main").calls == PROCESSES
    assert Run(None, None, "thread", thread="other").calls == FILES
    assert Run(1, "kill", "thread", thread="main").said == [plain(c) for c in FILES]
    assert Run(2, "kill", "thread", thread="other").said == ["openat2"]


def main():
    tests, failures = [counts_every_call, kills_before_each, tears_each, fails_each_once,
                       stays_full_for_what_takes_space, children_are_not_counted, counts_by_thread], 0
    print(f"1..{len(tests)}")
    for number, test in enumerate(tests, 1):
        try:
            test()
            print(f"ok {number} - {test.__name__}")
        except AssertionError as problem:
            failures += 1
            print(f"not ok {number} - {test.__name__}\n# {problem}")
    sys.exit(bool(failures))


main()
