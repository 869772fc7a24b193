"""./bench [NAME…] [--rounds N] [--work DIR]: each mark on real data, beside the tools that people would use instead.

  pack       a package, beside tar | zstd at the same level on all processors
  stage      installing a package's tree durably, beside tar -x and sync
  restore    a restore point and its proof, beside restic backup and restic restore --verify; then a second one
  downtime   how long a service is down in a switch and in a rollback, less its own stop and start
  memory     the most that is resident at a time
  simulate   100,000 imagined hosts through a staged rollout: one that succeeds and three of bad versions
  swarm      10,000 agents of one controller: memory, polls, an order to all of them, a rollout (--agents N)
  verdict    from a failure in the journal to the order that puts the host back
  fleet      20 hosts behind HAProxy, requests all the time: upgraded, failing half-way, the controller killed twice;
             then beside a rolling playbook of Ansible
"""
import argparse
import datetime
import os
import platform
import shutil
import signal
import sys
from pathlib import Path

import data
import fleet
import measure
import swarm

os.environ["UPKEEP_PROGRAM"] = str(data.ROOT / "out" / "upkeep")
sys.path.insert(0, str(data.ROOT / "tests" / "integration"))
import support  # pylint: disable=wrong-import-position  # it looks at the environment

LEVEL = 9
REAL = ["node-red@4.0.9", "verdaccio@6.2.9"]
RESTORE_LONG_SECONDS = 600
CHANGED_FEW = 100
DOWNTIME_GOAL_S, MEMORY_GOAL_BYTES = 0.050, 64 << 20
SIMULATED_HOSTS, SIMULATE_GOAL_S, SIMULATE_GOAL_BYTES = 100_000, 60, 1 << 30
SPARSE_BYTES = 4_402_341_478  # 4.1 GiB
HEALTHY = {"every": "20ms", "healthy_after": 2, "deadline": "20s"}


class Place(support.Site):
    """One host of the bench, with packages of trees that are there already."""

    def __init__(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        super().__init__(folder)
        self.root = self.roots[0]
        self.packed = {}

    def pack_words(self, tree, version, output):
        return [support.PROGRAM, "pack", tree, "--name", "service", "--version", version, "--level", LEVEL,
                "--key", self.folder / "release.key", "-o", output, "-q"]

    def pack(self, tree, version):
        """A package of any tree, once."""
        if version not in self.packed:
            self.packed[version] = self.folder / f"{version}.upk"
            measure.run(self.pack_words(tree, version, self.packed[version]))
        return self.packed[version]

    def service_tree(self, version, *behaviour, content=None):
        """A release of the small service that the tests use; `content`: and this folder's files, linked."""
        tree = self.folder / f"tree-{version}"
        (tree / "bin").mkdir(parents=True)
        shutil.copy(support.SERVICE, tree / "bin" / "service.py")
        (tree / "version").write_text(version + "\n")
        (tree / "behaviour").write_text("\n".join(behaviour) + "\n")
        if content:
            shutil.copytree(content, tree / "content", symlinks=True, copy_function=os.link)
        return tree

    def go(self, package, *options, status=0, **parts):
        """Run a plan; the events of its change."""
        document = self.document(package, soak="100ms", **parts)
        document["health"][0].update(HEALTHY)
        self.run("run", self.write(document), *options, status=status, seconds=RESTORE_LONG_SECONDS)
        change = self.change()
        return [e for e in self.events(change) if e.get("change") == change]

    def seconds_of(self, events, *steps):
        return sum(e["duration_ms"] for e in events if e["type"] == "step.done" and e["step"] in steps) / 1000


def moment(event):
    return datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()


def gap_s(events, order):
    """From the end of an order's stop to the beginning of its start: what Upkeep adds to the service's own."""
    mine = [e for e in events if e.get("order") == order and e["type"] in ("step.done", "step.started")]
    stopped = next(moment(e) for e in mine if e["type"] == "step.done" and e["step"] == "stop")
    starting = next(moment(e) for e in mine if e["type"] == "step.started" and e["step"] == "start")
    return starting - stopped


def named(folder):
    files, size = data.count(folder)
    return f"{files:,} files, {measure.size(size)}"


# ---- marks


def mark_pack(table, rounds, work):
    for name in REAL:
        tree = data.application(name)
        place = Place(work / "pack")
        ours, theirs = place.folder / "a.upk", place.folder / "a.tar.zst"
        other = f"tar -c --sort=name -C '{tree}' . | zstd -q -f -T0 -{LEVEL} -o '{theirs}'"
        table.title(f"pack: {name} ({named(tree)}), zstd level {LEVEL}, beside tar | zstd -T0")
        rows = measure.pairs(rounds, lambda _: measure.run(place.pack_words(tree, "1.0", ours)),
                             lambda _: measure.run(["sh", "-c", other]))
        table.compare("time", rows)
        table.compare("bytes", [(ours.stat().st_size, theirs.stat().st_size)], form=measure.size)


def mark_stage(table, rounds, work):
    for name in REAL:
        tree = data.application(name)
        place = Place(work / "stage")
        package, tar = place.pack(tree, "1.0"), place.folder / "a.tar"
        measure.run(["tar", "-c", "-C", tree, "-f", tar, "."])

        def ours(turn):
            place.roots[0] = place.folder / f"host-{turn}"
            events = place.go(package, "--prepare-only")
            place.run("abort", place.change(), status=None)
            return place.seconds_of(events, "stage")

        def theirs(turn):
            target = place.folder / f"tar-{turn}"
            target.mkdir()
            return measure.run(["tar", "-x", "-f", tar, "-C", target]) + measure.run(["sync", "-f", target])

        table.title(f"stage: {name} ({named(tree)}), decompressed, verified, durable, beside tar -x (plain) and sync")
        table.compare("time", measure.pairs(rounds, ours, theirs), goal=1.5)


def change_files(folder, wanted):
    """Append to so many files, spread evenly."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file() and not path.is_symlink())
    for path in files[::max(1, len(files) // wanted)][:wanted]:
        with open(path, "a", encoding="ascii") as file:
            file.write("// changed\n")


class Restic:
    def __init__(self, folder):
        self.folder = folder
        (folder / "password").write_text("bench\n")
        self.environment = {**os.environ, "RESTIC_CACHE_DIR": str(folder / "cache"), "RESTIC_PASSWORD_FILE":
                            str(folder / "password"), "RESTIC_REPOSITORY": ""}

    def use(self, turn):
        self.environment["RESTIC_REPOSITORY"] = str(self.folder / f"restic-{turn}")
        if not (self.folder / f"restic-{turn}").exists():
            measure.run(["restic", "init", "-q"], env=self.environment)

    def backup_and_verify(self, live, turn, name):
        self.use(turn)
        return (measure.run(["restic", "backup", "-q", "."], cwd=live, env=self.environment) +
                measure.run(["restic", "restore", "-q", "latest", "--verify", "--target",
                             self.folder / f"restored-{turn}-{name}"], env=self.environment))


def mark_restore(table, rounds, work):
    for name in REAL:
        place = Place(work / "restore")
        package = place.pack(place.service_tree("1.0"), "1.0")
        live = place.root / "shared" / "data"
        live.parent.mkdir(parents=True)
        data.copy(data.application(name), live)
        restic = Restic(place.folder)

        def point(turn, title):
            """In a store of this turn's own; the first one finds it empty."""
            events = place.go(package, "--prepare-only", restore_point={"to": str(place.folder / f"store-{turn}")},
                              change={"title": title})
            place.run("abort", place.change(), status=None)
            return place.seconds_of(events, "back_up", "prove")

        table.title(f"restore point and proof: {name} ({named(live)}), beside restic backup and restore --verify")
        first = measure.pairs(rounds, lambda turn: point(turn, "first"),
                              lambda turn: restic.backup_and_verify(live, turn, "first"))
        table.compare("first", first, goal=1)
        again = measure.pairs(rounds, lambda turn: point(turn, "again"),
                              lambda turn: restic.backup_and_verify(live, turn, "again"))
        table.compare("second, nothing changed", again)
        second = []
        for turn in range(rounds):
            change_files(live, CHANGED_FEW)
            second += measure.pairs(1, lambda _, turn=turn: point(turn, "second"),
                                    lambda _, turn=turn: restic.backup_and_verify(live, turn, "second"))
        table.compare(f"second, {CHANGED_FEW} files changed", second)
        table.compare(f"second ({CHANGED_FEW} files changed) beside the first",
                      [(s[0], f[0]) for s, f in zip(second, first)])


def mark_downtime(table, rounds, work):
    large = data.large(work / "large")
    for what, content, live in (("release", large, None), ("data", None, large)):
        place = Place(work / "downtime")
        releases = {v: place.service_tree(v, *words, content=content)
                    for v, words in (("1.0", ()), ("2.0", ()), ("3.0", ("migrates", "exit")))}
        packages = {version: place.pack(tree, version) for version, tree in releases.items()}
        place.go(packages["1.0"])
        if live:
            shutil.copytree(live, place.root / "shared" / "data" / "large", symlinks=True, copy_function=shutil.copyfile)
        switches, rollbacks = [], []
        for turn in range(rounds):
            support.fetch(place.ports[0], f"/write?{turn}")
            switches.append(gap_s(place.go(packages["2.0" if turn % 2 == 0 else "1.0"], package__downgrade=True), "switch"))
            rollbacks.append(gap_s(place.go(packages["3.0"], status=4), "rollback"))
        table.title(f"down, less the service's own stop and start: a {what} of {named(large)} (median, worst)")
        table.limit("switch", switches, DOWNTIME_GOAL_S, measure.seconds)
        table.limit("rollback, with data put back", rollbacks, DOWNTIME_GOAL_S, measure.seconds)
        place.close()


def mark_memory(table, _rounds, work):
    large = data.large(work / "large")
    sparse = work / "sparse"
    sparse.mkdir(parents=True, exist_ok=True)
    with open(sparse / "disk.img", "wb") as file:
        file.truncate(SPARSE_BYTES)
        file.seek(SPARSE_BYTES // 2)
        file.write(os.urandom(1 << 20))
    for what, content in (("50,000 files", large), ("one sparse file of 4.1 GiB", sparse)):
        place = Place(work / "memory")
        trees = {v: place.service_tree(v, content=content) for v in ("1.0", "2.0")}
        table.title(f"memory: {what}")

        def limit(verb, argv):
            table.limit(verb, [measure.peak_bytes(argv)], MEMORY_GOAL_BYTES, measure.size)

        package = place.folder / "1.0.upk"
        limit("pack", place.pack_words(trees["1.0"], "1.0", package))
        limit("verify", [support.PROGRAM, "verify", package, "--trust", place.folder / "release.pub"])
        limit("inspect --files", [support.PROGRAM, "inspect", "--files", package])
        document = place.document(package, soak="100ms")
        words = place.words("run", place.write(document), "--json")
        limit("run: first installation", [support.PROGRAM, *words])
        document["package"]["file"] = str(place.pack(trees["2.0"], "2.0"))
        limit("run: upgrade", [support.PROGRAM, *place.words("run", place.write(document), "--json")])
        limit("rollback --restore-data", [support.PROGRAM, *place.words("rollback", place.change(), "--restore-data")])
        place.close()


def mark_simulate(table, rounds, work):
    place = Place(work / "simulate")
    document = place.document(place.folder / "none.upk", rollout={"max_unavailable": "10%", "confirm_deadline": "30m", "stages": [
        {"name": "pilot", "hosts": "1%", "soak": "2m"}, {"name": "tenth", "hosts": "10%", "soak": "2m"},
        {"name": "rest", "batch": "50%", "soak": "1m"}]})
    document["hosts"] = [{"name": f"h{i}", "root": f"/h{i}", "vars": {"port": "1"}} for i in range(200)]
    document["health"][0] = {"tcp": {"address": "127.0.0.1:1"}}
    words = place.words("simulate", place.write(document), "--seeds", 1, "--hosts", SIMULATED_HOSTS)
    table.title(f"simulate: {SIMULATED_HOSTS:,} hosts in three stages, four rollouts")
    table.limit("time", [measure.run([support.PROGRAM, *words]) for _ in range(rounds)], SIMULATE_GOAL_S, measure.seconds)
    table.limit("memory", [measure.peak_bytes([support.PROGRAM, *words])], SIMULATE_GOAL_BYTES, measure.size)
    place.close()


MARKS = {"pack": mark_pack, "stage": mark_stage, "restore": mark_restore, "downtime": mark_downtime,
         "memory": mark_memory, "simulate": mark_simulate, "swarm": swarm.mark_swarm,
         "verdict": fleet.mark_verdict, "fleet": fleet.mark_fleet}
WITHOUT_DATA = {"simulate", "swarm", "verdict", "fleet"}


def main():
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which marks; all unless said")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is measured (5)")
    parser.add_argument("--work", type=Path, default=data.CACHE / "work",
                        help="a new folder to work in, on the disk that is to be measured (.bench/work)")
    parser.add_argument("--agents", type=int, default=swarm.AGENTS, help="of “swarm” (10,000)")
    options = parser.parse_args()
    unknown = set(options.names) - set(MARKS)
    if unknown or options.rounds < 1:
        parser.error(f"no such mark: {', '.join(sorted(unknown))}; there are {', '.join(MARKS)}" if unknown else
                     "--rounds begins at 1")
    shutil.rmtree(data.CACHE / "work", ignore_errors=True)
    options.work.mkdir(parents=True)
    for name in data.APPLICATIONS if set(options.names or MARKS) - WITHOUT_DATA else ():
        data.application(name)
    table = measure.Table()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: told to end"))
    print(f"{platform.system()} {platform.release()}, {len(os.sched_getaffinity(0))} processors; medians of "
          f"{options.rounds} rounds, sides in turn", flush=True)
    table.head()
    try:
        for name in options.names or MARKS:
            more = {"agents": options.agents} if name == "swarm" else {}
            MARKS[name](table, options.rounds, options.work, **more)
    finally:
        shutil.rmtree(options.work, ignore_errors=True)
    table.end()


if __name__ == "__main__":
    main()
