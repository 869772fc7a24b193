"""The mark “swarm”: one controller and the agents of ten thousand hosts, on loopback.

The load (swarm.c) shares the processors with the controller, so every figure is worse than a controller alone would
give. Connections are real: TLS 1.3, a certificate and a key of its own for each host."""
import contextlib
import json
import subprocess
import time

import controller as controllers
import data
import measure

AGENTS, STRANGERS, PARALLEL = 10_000, 200, 64
MEMORY_GOAL_BYTES, POLLS_GOAL, ORDER_GOAL_S = 250 << 20, 3500, 2
FLOOD_SECONDS, STEADY_SECONDS, STEADY_WAIT_MS, PARK_MS, PATIENCE_SECONDS = 4, 8, 2900, 50_000, 300
SPARE_DESCRIPTORS = 200
PROGRAMS, LOAD = data.ROOT / "out", data.ROOT / "out" / "tests" / "bench" / "swarm"


class Swarm:
    """The load, driven by commands."""

    def __init__(self, program, state, joined, strangers=0):
        self.process = subprocess.Popen([program, state, str(joined), str(strangers)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.made = self.hear()

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("bench: the swarm ended")
        return json.loads(line)

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def status(self):
        self.say("status")
        return self.hear()

    def wait(self, truth, what, seconds=PATIENCE_SECONDS):
        deadline = time.monotonic() + seconds
        while not truth(status := self.status()):
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: waited {seconds} s in vain for: {what}\n{status}")
            time.sleep(0.1)
        return status

    def end(self):
        self.process.kill()
        self.process.wait()


def rate(span):
    return (span["count"] - 1) / max(span["last"] - span["first"], 1e-9)


def per_second(value):
    return f"{value:,.0f}/s"


def plan_of(package):
    """All hosts that have joined, at once."""
    return json.dumps({
        "upkeep": 1, "service": {"name": "service", "root": "/srv/service", "run": {"process": {"command": ["true"]}},
                                 "data": ["shared/data"]},
        "package": {"file": package.name, "trust": ["release.pub"]}, "hosts": [{"select": {"role": "swarm"}}],
        "health": [{"tcp": {"address": "127.0.0.1:1"}, "deadline": "10m"}],
        "rollout": {"max_unavailable": "100%", "confirm_deadline": "30m", "stages": [{"name": "all", "soak": "1s"}]}})


def small_package(folder, programs):
    """A signed package with next to nothing in it."""
    controllers.make_key(programs, folder)
    (folder / "tree").mkdir()
    (folder / "tree" / "version").write_text("1.0\n")
    package = folder / "service-1.0.upk"
    measure.run([programs / "upkeep", "pack", folder / "tree", "--name", "service", "--version", "1.0", "--key",
                 folder / "release.key", "-o", package, "-q"])
    return package


class Fleet:
    """A controller whose hosts are a swarm."""

    def __init__(self, folder, agents, programs=PROGRAMS, load=LOAD):
        folder.mkdir(parents=True)
        self.agents, self.load = agents, load
        self.package = small_package(folder, programs)
        self.controller = controllers.Controller(folder, programs)
        self.swarm = Swarm(load, self.controller.state, agents)
        self.controller.upkeepd("trust", "add", folder / "release.pub")
        self.controller.start()
        self.controller.publish(self.package)

    def connect(self):
        before = self.controller.cpu_s()
        self.swarm.say(f"connect {self.controller.port} {self.agents} {PARALLEL}")
        status = self.swarm.wait(lambda s: s["idle"] == self.agents, "all agents to be connected")
        return rate(status["shaken"]), (self.controller.cpu_s() - before) / self.agents

    def poll(self, wait_ms, seconds):
        """Polls a second, the controller's time for one, and how long answers took, once it is under way."""
        self.swarm.say(f"wait {wait_ms}")
        time.sleep(1 + wait_ms / 1000)
        self.swarm.say("clear")
        before, begun = self.controller.cpu_s(), time.monotonic()
        time.sleep(seconds)
        status = self.swarm.status()
        count, took = status["polls"]["count"], time.monotonic() - begun
        return count / took, (self.controller.cpu_s() - before) / max(count, 1), status["latencies"]

    def park(self):
        self.swarm.say(f"wait {PARK_MS}")
        measured = time.monotonic() + PATIENCE_SECONDS
        while self.controller.metrics()["upkeep_parked_requests"] < self.agents and time.monotonic() < measured:
            time.sleep(0.2)

    def deliver(self):
        """Open a change for all; seconds until POST returned, and from then until the last agent has its order."""
        self.swarm.say("answer 0")
        self.swarm.say("clear")
        begun = time.monotonic()
        change = self.controller.call("POST", "/api/v1/changes", {"plan": plan_of(self.package)})["change"]
        opened = time.monotonic()
        status = self.swarm.wait(lambda s: s["orders"]["prepare"]["count"] == self.agents, "the order to reach all")
        return change, opened - begun, status["orders"]["prepare"]["last"] - opened

    def carry_on(self, change):
        """Agents answer from now on: reports a second while all prepare, and the time of the whole rollout."""
        events, begun = self.controller.metrics()["upkeep_journal_events_total"], time.monotonic()
        self.swarm.say("answer 1")
        status = self.swarm.wait(lambda s: s["orders"]["switch"]["count"] == self.agents, "all to have prepared")
        prepared = status["orders"]["switch"]["first"] - begun
        self.swarm.wait(lambda s: s["orders"]["commit"]["count"] == self.agents, "all to be told to commit")
        while not (state := self.controller.change(change)).get("outcome"):
            time.sleep(0.1)
        if state["outcome"] != "succeeded":
            raise SystemExit(f"bench: the rollout {state['outcome']}: {state.get('reason')}")
        wall = time.monotonic() - begun
        return prepared, wall, self.controller.metrics()["upkeep_journal_events_total"] - events

    def end(self):
        self.swarm.end()
        self.controller.end()


def join(table, fleet):
    """Hosts that come with a token: a key's request, its certificate, a handshake each."""
    with contextlib.closing(Closing(Swarm(fleet.load, fleet.controller.state, 0, STRANGERS))) as strangers:
        tokens, begun = [], time.monotonic()
        for i in range(STRANGERS):
            tokens.append(fleet.controller.call("POST", f"/api/v1/hosts/new-{i}/invite", {})["token"])
        invited = time.monotonic() - begun
        file = fleet.controller.folder / "tokens"
        file.write_text("\n".join(tokens) + "\n")
        strangers.swarm.say(f"tokens {file}")
        strangers.swarm.say(f"connect {fleet.controller.port} {STRANGERS} 16")
        status = strangers.swarm.wait(lambda s: s["joins"]["count"] == STRANGERS, "all to have joined")
        table.line(f"invitations of {STRANGERS} hosts", per_second(STRANGERS / invited))
        table.line(f"enrolments of {STRANGERS} hosts", per_second(rate(status["joins"])))


class Closing:
    def __init__(self, swarm):
        self.swarm = swarm

    def close(self):
        self.swarm.end()


def measure_fleet(table, rounds, fleet):
    """The goal for memory is one for AGENTS of them; as much each for more."""
    agents = fleet.agents
    idle, _ = fleet.controller.memory()
    table.line("hosts' keys, certificates and journal made (by the bench)", measure.seconds(fleet.swarm.made["seconds"]))
    shaken, cpu = fleet.connect()
    table.line(f"connections, {PARALLEL} handshakes (TLS 1.3, both certificates) at once", per_second(shaken))
    table.line("  processor time of the controller, with the first request", f"{cpu * 1000:.2f} ms")
    polls, cpu, late = fleet.poll(0, FLOOD_SECONDS)
    table.line("polls, as fast as they go", per_second(polls), goal=f"> {per_second(POLLS_GOAL)}", good=polls > POLLS_GOAL)
    table.line("  processor time of the controller, each", f"{cpu * 1000:.2f} ms")
    polls, cpu, late = fleet.poll(STEADY_WAIT_MS, STEADY_SECONDS)
    table.line(f"polls, each parked for {STEADY_WAIT_MS * 0.8 / 1000:.1f} to {STEADY_WAIT_MS / 1000:.1f} s", per_second(polls))
    table.line("  processor time of the controller, each", f"{cpu * 1000:.2f} ms")
    table.line("  the 99th of 100, beyond its park", measure.seconds(max(0, late[1] - STEADY_WAIT_MS / 1000)))
    fleet.park()
    resident, most = fleet.controller.memory()
    goal = MEMORY_GOAL_BYTES * max(agents, AGENTS) // AGENTS
    table.line("memory, all parked", measure.size(resident), goal=f"< {measure.size(goal)}", good=resident < goal)
    table.line("  a parked agent", f"{(resident - idle) / agents / 1024:.1f} KiB")
    table.line("  the most so far", measure.size(most))
    reached = []
    for _ in range(rounds):
        fleet.park()
        change, opening, reach = fleet.deliver()
        reached.append(opening + reach)
        prepared, wall, events = fleet.carry_on(change)
        table.line("a change opened (the request)", measure.seconds(opening))
        table.line(f"  its order has reached all {agents:,}, after that", measure.seconds(reach))
        table.line("  reports of all heard, once they answer", per_second(agents / prepared))
        table.line("  then the rollout to its end, a second of soak included", measure.seconds(wall))
        table.line("  events in the journal meanwhile", per_second(events / wall))
    table.limit("asked for a change, its order has reached all (median, worst)", reached, ORDER_GOAL_S, measure.seconds)
    fleet.park()
    resident, most = fleet.controller.memory()
    table.line("memory, all parked again after it", measure.size(resident), goal=f"< {measure.size(goal)}",
               good=resident < goal)
    table.line("  the most of it all, while a rollout goes on", measure.size(most))
    return idle


def mark_swarm(table, rounds, work, agents=AGENTS):
    limit = controllers.raise_limit()
    measure.run(["ninja", "-C", data.ROOT / "out", "tests/bench/swarm"])
    if agents > limit - SPARE_DESCRIPTORS:
        table.title(f"swarm: {agents:,} agents cannot be tried here: no process may open more than {limit:,} files")
        agents = limit - SPARE_DESCRIPTORS
    table.title(f"swarm: {agents:,} agents of one controller, their load on the same processors")
    fleet = Fleet(work / "swarm", agents)
    try:
        measure_fleet(table, rounds, fleet)
        join(table, fleet)
    finally:
        fleet.end()
