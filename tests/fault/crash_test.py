#!/usr/bin/env python3
"""crash_test.py UPKEEP LIBRARY SERVICE: an upgrade cut off at every call that a crash could fall between. TAP.

A change is carried out again and again on a tiny real service, each time from the same beginning: version 1.0
serves, 2.0 is to come. Counted from 1, at its Nth call that leaves something behind (LIBRARY says which), the
program is killed, or killed in the middle of the call, or the call fails. Then `upkeep run` is run again, as a
person would, and whatever N was:

    the change ends as it would have ended;     one instance of one version serves, `current` names it
    that release is complete and undamaged;     the data is exactly what it should be
    no version was started twice;               the journal's chain is whole
    the host is in traffic;
    nothing unfinished lies about               the guards have ended

The calls of the main thread (the journal) and of the host's thread are numbered apart: how the two take turns
is not the same twice, but each one's row is. Without $UPKEEP_CHECK_LONG, not every N is tried but every sort of
call on every sort of file, every step's intent and evidence, and of the others each 8th; what was tried is said.

    UPKEEP_CRASH=good:other:kill:217     try just that one
"""
import concurrent.futures
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
from support import Ports, served, wait_for  # noqa: E402  pylint: disable=wrong-import-position

UPKEEP, LIBRARY, SERVICE = (str(Path(word).resolve()) for word in sys.argv[1:4])
LONG = bool(os.environ.get("UPKEEP_CHECK_LONG"))
PLACES = 10       # tries at a time: they mostly wait
SECONDS = 60      # for one command
STRIDE = 8        # of kills that are tried for no other reason
SHOWN = 12        # sorts of failures of one row that are shown
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "FAULT_"))}


def upkeep(*words, env=None):
    """Run it to its end: (exit status, what it said)."""
    done = subprocess.run([UPKEEP, *map(str, words)], env={**ENVIRONMENT, **(env or {})}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, cwd="/", check=False)
    return done.returncode, done.stdout.decode(errors="replace")


class Packages:
    """What all places share: a key and the packages of the tiny service."""

    def __init__(self, folder):
        self.folder, self.files = folder, {}
        for word in ("in", "out"):
            (folder / word).write_text(word)
        status, said = upkeep("key", "new", folder / "release")
        assert status == 0, said
        for name, version, behaviour in (("old", "1.0", "plain"), ("good", "2.0", "migrates"),
                                         ("bad", "2.0", "migrates failing")):
            tree = folder / name
            (tree / "bin").mkdir(parents=True)
            shutil.copy(SERVICE, tree / "bin" / "service")
            (tree / "version").write_text(version + "\n")
            (tree / "behaviour").write_text(behaviour + "\n")
            (tree / "empty").mkdir()
            (tree / "link").symlink_to("version")
            status, said = upkeep("pack", tree, "--name", "service", "--version", version,
                                  "--key", folder / "release.key", "-o", folder / f"{name}.upk")
            assert status == 0, said
            self.files[name] = listing(tree)

    def plan(self, name, root, port):
        return {
            "upkeep": 1,
            "service": {"name": "service", "root": str(root), "config": ["shared/settings"], "data": ["shared/data"],
                        "run": {"process": {"command": ["current/bin/service", str(port)], "stop_timeout": "5s"}}},
            "package": {"file": str(self.folder / f"{name}.upk"), "trust": [str(self.folder / "release.pub")]},
            "hosts": [{"name": "web1"}],
            "traffic": {"commands": {"drain": ["cp", str(self.folder / "out"), "traffic"],
                                     "readmit": ["cp", str(self.folder / "in"), "traffic"]}},
            "rollout": {"stages": [{"name": "all", "soak": "100ms"}]},
            "health": [{"http": {"url": f"http://127.0.0.1:{port}/", "timeout": "2s"}, "every": "10ms",
                        "healthy_after": 2, "deadline": "100ms" if name == "bad" else "20s"}],
        }


def listing(folder):
    """Every entry of a tree: what it is, its mode, its content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        found[str(path.relative_to(folder))] = (
            mode, os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None)
    return found


class Place:
    """A folder with one host in it, brought back to the same beginning for each try."""

    def __init__(self, folder, packages, cpu):
        self.folder, self.packages, self.cpu, self.port = folder, packages, cpu, Ports.take()
        self.root, self.state, self.log = folder / "now" / "root", folder / "now" / "state", folder / "calls"
        self.service = None
        (folder / "now").mkdir(parents=True)
        for name in packages.files:
            (folder / f"{name}.yaml").write_text(json.dumps(packages.plan(name, self.root, self.port)))
        status, said = self.run("old")
        assert status == 0, said
        (self.root / "shared" / "data" / "deep" / "er").mkdir(parents=True)
        (self.root / "shared" / "data" / "deep" / "er" / "file").write_bytes(bytes(range(256)) * 20)
        (self.root / "shared" / "data" / "schema").write_text("1.0\n")
        (self.root / "shared" / "settings").write_text("colour = blue\n")
        self.data = self.listed_data()
        self.stop()
        (folder / "now").rename(folder / "beginning")

    def run(self, plan, **env):
        return upkeep("run", self.folder / f"{plan}.yaml", "--state", self.state, env=env)

    # ---- processes

    def processes(self):
        """{pid: command line} of the living that were started in here."""
        found = {}
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                with open(f"/proc/{entry.name}/cmdline", "rb") as file:
                    command = file.read().decode(errors="replace").split("\0")
                if str(self.root) in command or os.readlink(f"/proc/{entry.name}/cwd") == str(self.root):
                    found[int(entry.name)] = command
            except OSError:
                continue
        return {pid: command for pid, command in found.items() if command != [""]}

    def stop(self):
        """All of them: one that is being started while the others are killed is looked for again."""
        def none_lives():
            found = self.processes()
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not found
        wait_for(none_lives, "the end of every process")
        if self.service:
            self.service.wait()
            self.service = None

    def begin(self):
        """Version 1.0 serves, and its record says so: as it was when the beginning was made."""
        self.stop()
        shutil.rmtree(self.folder / "now", ignore_errors=True)
        subprocess.run(["cp", "-a", self.folder / "beginning", self.folder / "now"], check=True)
        path = self.root / ".upkeep" / "service.pid"
        record = json.loads(path.read_text())
        (self.root / "starts").unlink()
        self.service = subprocess.Popen(["current/bin/service", str(self.port)], cwd=self.root, start_new_session=True,
                                        stdin=subprocess.DEVNULL, env={"UPKEEP_SERVICE": record["token"]})
        status = Path(f"/proc/{self.service.pid}/stat").read_text()
        record |= {"pid": self.service.pid, "start_ticks": int(status.rpartition(")")[2].split()[19])}
        path.write_text(json.dumps(record))
        wait_for(lambda: served(self.port) == "1.0", "the first version to serve")

    # ---- what must hold

    def listed_data(self):
        return listing(self.root / "shared" / "data") | {"settings": (self.root / "shared" / "settings").read_bytes()}

    def expect(self, name, accepted=False):
        """The version of package `name` serves, everything is as it should be, and nothing is left over. `accepted`:
        the new one was, once, and may stay installed."""
        version = "1.0" if name == "old" else "2.0"
        current = os.readlink(self.root / "current")
        assert current == f"releases/{version}", f"current names {current}"
        assert listing(self.root / current) == self.packages.files[name], f"the release {version} is not complete"
        record = json.loads((self.root / ".upkeep" / "releases" / version / "record.json").read_text())
        assert record["version"] == version, record
        assert served(self.port) == version, f"{served(self.port)} is served, not {version}"
        data = {key: value if key != "schema" else (value[0], f"{version}\n".encode())
                for key, value in self.data.items()}
        assert self.listed_data() == data, f"the data is another: {self.listed_data()}"
        releases = sorted(os.listdir(self.root / "releases"))
        assert releases == ["1.0", "2.0"] if version == "2.0" else releases == ["1.0"] or accepted, releases
        status, said = upkeep("journal", "verify", "--state", self.state)
        assert status == 0, said
        self.expect_processes()
        self.expect_tidy()
        traffic = (self.root / "traffic").read_text()
        assert traffic == "in", f"the host is {traffic} of traffic"

    def expect_processes(self):
        services = [c for c in self.processes().values() if c[0].endswith("bin/service")]
        assert len(services) == 1, f"instances of the service: {services}"
        wait_for(lambda: len(self.processes()) == 1, "the guard's end")

    def expect_starts(self, *versions, hasty=None):
        """Each start writes its version down; of `hasty` one may be stopped before it comes to that."""
        started = (self.root / "starts").read_text().split()
        at = 0
        for version in versions:
            if started[at:at + 1] == [version]:
                at += 1
            else:
                assert version == hasty, f"these versions were started, one after the other: {started}"
        assert at == len(started), f"these versions were started, one after the other: {started}"

    def expect_tidy(self):
        left = [str(p.relative_to(self.folder / "now")) for folder in (self.root, self.state)
                for p in folder.rglob(".*~")]
        for folder in (self.root / ".upkeep" / "staging", self.state / "restore-points" / "temporary"):
            left += [str(p.relative_to(self.folder / "now")) for p in folder.iterdir()] if folder.is_dir() else []
        assert not left, f"left over: {left}"


# ---- what is tried

class Row:
    """One way to cut off one change: `outcome` is how the change ends."""

    def __init__(self, plan, thread, mode):
        self.plan, self.thread, self.mode = plan, thread, mode
        self.name = f"{plan}:{thread}:{mode}"

    def __str__(self):
        change = {"good": "an upgrade", "bad": "an upgrade that fails and is put back"}[self.plan]
        thread = {"main": "the journal's thread", "other": "the host's thread"}[self.thread]
        how = {"kill": "killed before each call of", "tear": "killed within each write of",
               "fail:EIO": "with an I/O error at each call of", "fail:ENOSPC": "with no room at each call of",
               "from:ENOSPC": "with no room from each call on of"}[self.mode]
        return f"{change}, {how} {thread}"

    def fault(self, place, at=None):
        env = {"LD_PRELOAD": LIBRARY, "FAULT_LOG": str(place.log), "FAULT_THREAD": self.thread}
        return env | ({"FAULT_AT": str(at), "FAULT_MODE": self.mode} if at else {})

    def calls(self, place):
        """[(call, path)] of a change that nothing happens to."""
        os.sched_setaffinity(0, {place.cpu})
        place.begin()
        status, said = place.run(self.plan, **self.fault(place))
        assert status == (0 if self.plan == "good" else 4), f"exit {status}\n{said}"
        place.expect("good" if self.plan == "good" else "old")
        return [tuple((line.split(" ", 2) + [""])[1:3]) for line in place.log.read_text().splitlines()]

    def attempt(self, place, at):
        """True: it was cut off there, and all is well. False: there are not that many calls."""
        os.sched_setaffinity(0, {place.cpu})
        place.begin()
        status, said = place.run(self.plan, **self.fault(place, at))
        try:
            return self.judge_failed_call(place, at, status, said) if ":" in self.mode else \
                self.judge_killed(place, status)
        except AssertionError as problem:
            calls = place.log.read_text().splitlines()[-3:]
            raise AssertionError(f"{self.name}:{at}, at {calls}\n{problem}\nthe first run: exit {status}\n{said}") from None

    def judge_killed(self, place, status):
        if status != -signal.SIGKILL:
            return False
        status, said = place.run(self.plan)
        try:
            assert status == (0 if self.plan == "good" else 4), f"exit {status}"
            place.expect("good" if self.plan == "good" else "old")
            again = "CHG-2026-0003" in said  # the first had ended when it was cut off: a person began another
            if self.plan == "good":
                place.expect_starts("1.0", "2.0")
            else:
                place.expect_starts("1.0", *["2.0", "1.0"] * (1 + again), hasty="2.0")
        except AssertionError as problem:
            raise AssertionError(f"{problem}\nthe second run: {said}") from None
        return True

    def judge_failed_call(self, place, at, status, said):
        """Whatever it ended as must be true; what is not over must have a way out."""
        if len(place.log.read_text().splitlines()) < at:
            return False
        assert status in (0, 1, 3, 4, 5), f"exit {status}"
        accepted = "confirm  " in said
        if status == 1:
            status, said = place.run(self.plan)
        if status == 5:
            status, said = self.way_out(place)
        try:
            assert status in ((0, 3, 4) if self.plan == "good" else (3, 4)), f"exit {status}"
            place.expect("old" if status else "good", accepted)
            if status and self.plan == "good":
                status, said = place.run(self.plan)
                assert status == 0, f"the next upgrade: exit {status}"
                place.expect("good")
        except AssertionError as problem:
            raise AssertionError(f"{problem}\nthe last run: {said}") from None
        return True

    @staticmethod
    def way_out(place):
        status, said = upkeep("rollback", "CHG-2026-0002", "--restore-data", "--yes", "--state", place.state)
        return (4 if status == 0 else status), said


def sort_of(call, path):
    """Calls of one sort on files of one sort: what is made up, and what stands in one folder, is all the same."""
    path = re.sub(r"/objects/../[0-9a-f]{62}", "/objects/*", path)
    path = re.sub(r"(?<=/)\.([a-z.]+)\.[a-z0-9]{8}~", r".\1.*~", path)
    path = re.sub(r"(?<=/temporary/)[a-z0-9]{8}-[0-9a-f]+(/[a-z0-9]{8}-[0-9a-f]+)?", "*", path)
    path = re.sub(r"(?<=/temporary/)(upkeep-proof).*", r"\1", path)
    return call, re.sub(r"(?<=/staging/).*", "*", path)


def is_boundary(call, path):
    """The intent or the evidence of a step becomes true."""
    return call in ("write", "renameat") and re.search(r"/\.?ledger\.json", path)


def choose(row, calls):
    """The numbers to try. Up to its start, a version that fails is like one that does not."""
    first = 1
    if row.plan == "bad" and row.thread == "other":
        first = next(n for n, (_, path) in enumerate(calls, 1) if path.endswith("root/current"))
    numbers = [n for n, (call, _) in enumerate(calls, 1) if n >= first and (row.mode != "tear" or "write" in call)]
    if LONG:
        return numbers + list(range(len(calls) + 1, len(calls) + 10)) * (row.mode != "tear")
    sorts = {}
    for number in numbers:
        sorts.setdefault(sort_of(*calls[number - 1]), []).append(number)
    if row.mode != "kill":
        chosen = {same[len(same) // 2] for same in sorts.values()}
    else:
        chosen = {n for same in sorts.values() for n in (same[0], same[-1])} | set(numbers[::STRIDE])
    return sorted(chosen | {n for n in numbers if is_boundary(*calls[n - 1])})


def try_row(row, places, pool, only=""):
    """(what was tried, failures)."""
    def with_place(work):
        place = places.get()
        try:
            return work(place)
        finally:
            places.put(place)

    def one(at):
        try:
            return with_place(lambda place: row.attempt(place, at))
        except (AssertionError, OSError, subprocess.SubprocessError) as problem:
            return problem if isinstance(problem, AssertionError) else AssertionError(f"{row.name}:{at}\n{problem!r}")

    calls = with_place(row.calls)
    numbers = [int(only)] if only else choose(row, calls)
    verdicts = list(pool.map(one, numbers))
    failures = [v for v in verdicts if isinstance(v, AssertionError)]
    reached = sum(v is not False for v in verdicts)
    sorts = len({sort_of(*calls[n - 1]) for n in numbers if n <= len(calls)})
    return f"{reached} of {len(calls)} calls tried, of {sorts} sorts", failures


ROWS = [Row(plan, thread, mode) for plan, mode in (("good", "kill"), ("good", "tear"), ("bad", "kill"),
                                                    ("good", "fail:EIO"), ("good", "fail:ENOSPC"), ("good", "from:ENOSPC"),
                                                    ("bad", "fail:EIO"))
        for thread in ("other", "main")]


def show(failures):
    """One failure of each sort in full: the second line, if there is one, says what was wrong."""
    sorts = {}
    for failure in failures:
        wrong = re.sub(r"[0-9a-z]{8,}|[0-9]+", "*", str(failure).splitlines()[:2][-1])
        sorts.setdefault(wrong, []).append(failure)
    for same in list(sorts.values())[:SHOWN]:
        print(f"# {len(same)} like this one:")
        print("\n".join(f"#   {line}" for line in str(same[0]).splitlines()))


def main():
    only = os.environ.get("UPKEEP_CRASH", "")
    rows = [row for row in ROWS if only.startswith(row.name) or not only]
    folder = Path(tempfile.mkdtemp(prefix="upkeep-crash-", dir=MEMORY))
    failed, places, all_places = 0, queue.Queue(), []
    cpus = sorted(os.sched_getaffinity(0))
    print(f"1..{len(rows)}", flush=True)
    try:
        (folder / "packages").mkdir()
        packages = Packages(folder / "packages")
        with concurrent.futures.ThreadPoolExecutor(PLACES) as pool:
            all_places = list(pool.map(lambda i: Place(folder / str(i), packages, cpus[i % len(cpus)]), range(PLACES)))
            for place in all_places:
                places.put(place)
            for number, row in enumerate(rows, 1):
                tried, failures = try_row(row, places, pool, only[len(row.name) + 1:])
                failed += bool(failures)
                print(f"{'not ok' if failures else 'ok'} {number} - {row}: {tried}")
                show(failures)
                sys.stdout.flush()
    finally:
        for place in all_places:
            place.stop()
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(bool(failed))


main()
