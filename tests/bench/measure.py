"""Measuring: two sides turn and turn about, medians, and a table that says which goals were met."""
import os
import statistics
import subprocess
import time

COMMAND_SECONDS = 600


def run(argv, **options):
    """Run a program to its end; the seconds it took. Its failure ends the bench and shows what it said."""
    begun = time.monotonic()
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=COMMAND_SECONDS, check=False, **options)
    seconds = time.monotonic() - begun
    if done.returncode != 0:
        raise SystemExit(f"bench: {' '.join(map(str, argv))} failed ({done.returncode}):\n"
                         f"{done.stdout.decode(errors='replace')}")
    return seconds


def peak_bytes(argv, **options):
    """The most memory a program had resident. (The kernel counts what stood in the process before it was this
    program as well: a small Python, well below any goal.)"""
    with subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **options) as process:
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"bench: {' '.join(map(str, argv))} failed ({process.returncode}):\n"
                         f"{said.decode(errors='replace')}")
    return usage.ru_maxrss * 1024


def pairs(rounds, ours, theirs):
    """Each side in turn, A B A B; everything earlier is on the disk before a side begins. Both give seconds."""
    rows = []
    for turn in range(rounds):
        row = []
        for side in (ours, theirs):
            os.sync()
            row.append(side(turn))
        rows.append(row)
    return rows


def seconds(value):
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def size(value):
    return f"{value / 2**20:.1f} MiB"


class Table:
    WIDTH = 58

    def __init__(self):
        self.met = self.missed = 0

    def title(self, text):
        print(f"\n{text}", flush=True)

    def line(self, what, ours, theirs="", ratio="", goal="", good=None):
        verdict = {None: "", True: "met", False: "MISSED"}[good]
        self.met += good is True
        self.missed += good is False
        print(f"  {what:<{self.WIDTH}} {ours:>10} {theirs:>10} {ratio:>7}  {goal:<9} {verdict}".rstrip(), flush=True)

    def head(self):
        print(f"  {'':<{self.WIDTH}} {'upkeep':>10} {'other':>10} {'ratio':>7}  goal", flush=True)

    def compare(self, what, rows, form=seconds, goal=None):
        """Medians of both sides, and of the ratios within each pair; `goal`: at most that ratio."""
        ratio = statistics.median(ours / theirs for ours, theirs in rows)
        self.line(what, form(statistics.median(r[0] for r in rows)), form(statistics.median(r[1] for r in rows)),
                  f"{ratio:.2f}×", f"≤ {goal:g}×" if goal else "", ratio <= goal if goal else None)

    def limit(self, what, values, goal, form):
        """The median of `values`, which must stay below `goal`, and their greatest."""
        median = statistics.median(values)
        self.line(what, form(median), form(max(values)) if len(values) > 1 else "", "", f"< {form(goal)}", median < goal)

    def end(self):
        print(f"\n{self.met} goals met, {self.missed} missed", flush=True)
