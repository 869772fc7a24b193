#!/usr/bin/env python3
"""Build Upkeep in every way it is tested in, run all tests, and read the source with every reader there is.

What counts is the test case: a line of TAP, a build, a fuzzer's run, a reader of the source. Programs:

  out/           gcc, as released: unit, fuzz (replay), fault, simulation, crash, integration, house
  .check/asan/   gcc with AddressSanitizer and UndefinedBehaviorSanitizer: unit, fuzz (replay), and tests that are
                 also in the suite "asan". Warnings are no errors here: instrumented code misleads gcc's
  .check/clang/  clang, for its warnings, and libFuzzer with both sanitizers

Then clang-format, clang-tidy and cppcheck. --long: more time for each fuzzer, and UPKEEP_CHECK_LONG=1 for tests
that know a longer version of themselves. --only WORD…: the parts whose name holds one of the words.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".check"
JOBS = max(2, len(os.sched_getaffinity(0)))
OUTPUT_LINES = 60  # of what failed
SANITIZER_ENV = {
    "ASAN_OPTIONS": "abort_on_error=0:exitcode=99:detect_leaks=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


class Tally:
    """Counts cases and prints one line a part; what failed is printed whole, what was skipped with its reason."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.lock = threading.Lock()

    def verdict(self, name, seconds, good, output):
        """A part that is one case."""
        self.add(name, seconds, int(good), int(not good), output=output)

    def add(self, name, seconds, passed=0, failed=0, skips=(), output=""):
        with self.lock:
            self.passed += passed
            self.failed += failed
            self.skipped += len(skips)
            counts = f"{passed} passed" + (f", {failed} FAILED" if failed else "")
            counts += f", {len(skips)} skipped" if skips else ""
            print(f"{name:<44} {counts:<32} {seconds:6.1f} s", flush=True)
            for skip in skips:
                print(f"    skipped: {skip}", flush=True)
            if failed:
                lines = [line for line in output.strip().splitlines() if not re.match(r"ok \d+", line)]
                if len(lines) > OUTPUT_LINES:
                    lines = [f"({len(lines) - OUTPUT_LINES} lines before)"] + lines[-OUTPUT_LINES:]
                print("\n".join("    " + line for line in lines), flush=True)


def run(argv, timeout, env=None, cwd=ROOT):
    """(exit status, output, seconds). The whole process group is killed at the deadline; the status is then None."""
    start = time.monotonic()
    process = subprocess.Popen([str(a) for a in argv], cwd=cwd, env={**os.environ, **(env or {})},
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True)
    try:
        output, _ = process.communicate(timeout=timeout)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        output += f"\n(killed after {timeout} s)\n".encode()
        status = None
    return status, output.decode(errors="replace"), time.monotonic() - start


def read_tap(text, status):
    """(passed, failed, skip reasons) of a TAP stream. A plan that was not kept, a bail-out and a bad exit status
    without a failed line are one failure each."""
    passed, failed, skips, planned, comment, bailed = 0, 0, [], None, "", False
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("# skipped: "):
            comment = line[len("# skipped: "):]
        plan = re.match(r"1\.\.(\d+)\s*(?:#\s*skip\S*\s*(.*))?$", line, re.I)
        if plan:
            planned = (planned or 0) + int(plan[1])
            if plan[2] is not None:
                skips.append(plan[2] or "no reason given")
                planned += 1
            continue
        case = re.match(r"(not )?ok\b\s*\d*\s*(?:- )?(.*)$", line)
        if not case:
            bailed |= line.startswith("Bail out!")
            continue
        skip = re.search(r"#\s*skip\S*\s*(.*)$", case[2], re.I)
        if skip:
            name = case[2][:skip.start()].strip() or skip[1]
            reason = comment or (skip[1] if skip[1] != name else "")
            skips.append(f"{name}: {reason or 'no reason given'}")
            comment = ""
        elif case[1]:
            failed += 1
        else:
            passed += 1
    if bailed or planned != passed + failed + len(skips) or (status != 0 and failed == 0):
        failed += 1
    return passed, failed, skips


def build(tally, name, folder, options, env=None):
    """Configure when needed and compile everything, tests included: one case."""
    start, output = time.monotonic(), ""
    steps = [["ninja", "-C", folder], ["ninja", "-C", folder, "meson-test-prereq"]]
    if not (folder / "build.ninja").exists():
        shutil.rmtree(folder, ignore_errors=True)
        steps.insert(0, ["meson", "setup", folder, *options])
    for step in steps:
        status, output, _ = run(step, 900, env)
        if status != 0:
            break
    tally.verdict(f"build {name}", time.monotonic() - start, status == 0, output)
    return status == 0


def introspect(folder, what):
    return json.loads(subprocess.check_output(["meson", "introspect", folder, f"--{what}"], stdin=subprocess.DEVNULL))


def run_tests(tally, name, folder, wanted, env):
    """Every meson test of a build that has one of the suites `wanted`, a few at a time."""
    def one(test):
        factor = 3 if name == "asan" else 1
        long_factor = 20 if env.get("UPKEEP_CHECK_LONG") else 1
        status, output, seconds = run(test["cmd"], test["timeout"] * factor * long_factor,
                                      {**test["env"], **env}, test["workdir"] or folder)
        passed, failed, skips = read_tap(output, status)
        suite = test["suite"][0].split(":")[-1]
        tally.add(f"{suite} {test['name']}" + (f" ({name})" if name else ""), seconds, passed, failed, skips, output)

    tests = [t for t in introspect(folder, "tests") if wanted & {s.split(":")[-1] for s in t["suite"]}]
    tests.sort(key=lambda t: -t["priority"])
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(one, [t for t in tests if t["is_parallel"]]))
    for test in tests:
        if not test["is_parallel"]:
            one(test)


def run_fuzzers(tally, folder, seconds_each):
    """libFuzzer on every target, from its seeds and from what earlier runs found."""
    def one(target):
        name = target["name"].removeprefix("fuzz_")
        found = WORK / "corpus" / name
        found.mkdir(parents=True, exist_ok=True)
        seeds = ROOT / "tests" / "fuzz" / "corpus" / name
        status, output, seconds = run(
            [target["filename"][0], f"-max_total_time={seconds_each}", "-timeout=10", "-rss_limit_mb=2048",
             "-max_len=65536", f"-artifact_prefix={found.parent}/{name}-", found, *([seeds] if seeds.is_dir() else [])],
            seconds_each + 120, SANITIZER_ENV)
        tally.verdict(f"fuzz {name} ({seconds_each} s)", seconds, status == 0, output)

    targets = [t for t in introspect(folder, "targets") if t["name"].startswith("fuzz_")]
    for target in targets:
        status, output, _ = run(["ninja", "-C", folder, Path(target["filename"][0]).relative_to(folder)], 900)
        if status != 0:
            tally.verdict(f"build {target['name']}", 0, False, output)
            return
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(one, targets))


def sources(*folders):
    return sorted(p for f in folders for p in (ROOT / f).rglob("*.[ch]"))


def read_format(tally):
    status, output, seconds = run(["clang-format", "--dry-run", "-Werror", *sources("src", "tests")], 120)
    tally.verdict("read clang-format", seconds, status == 0, output)


def read_tidy(tally, folder):
    """clang-tidy, a file at a time; a file that was clean stays so until it, a header or the rules change."""
    headers = b"".join(p.read_bytes() for p in sources("src") if p.suffix == ".h")
    rules = (ROOT / ".clang-tidy").read_bytes() + (ROOT / "tools" / "analyser.h").read_bytes()
    rules += subprocess.check_output(["clang-tidy", "--version"])
    clean = WORK / "tidy"
    clean.mkdir(parents=True, exist_ok=True)

    def one(path):
        stamp = clean / hashlib.sha256(headers + rules + path.read_bytes()).hexdigest()
        if stamp.exists():
            return ""
        told = [] if path.name == "error.c" else [f"--extra-arg=-include{ROOT}/tools/analyser.h"]
        status, output, _ = run(["clang-tidy", "-p", folder, "--quiet", *told, path], 300)
        if status == 0:
            stamp.touch()
            return ""
        complaints = [line for line in output.splitlines() if re.search(r": (error|warning): ", line)]
        return "\n".join(complaints or [output]) + "\n"

    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        output = "".join(pool.map(one, [p for p in sources("src") if p.suffix == ".c"]))
    tally.verdict("read clang-tidy", time.monotonic() - start, not output, output)


def read_cppcheck(tally):
    """cppcheck, first on a mistake it must find: what it cannot parse it passes over in silence."""
    cache, mistake = WORK / "cppcheck", WORK / "mistake.c"
    cache.mkdir(parents=True, exist_ok=True)
    mistake.write_text("int f(int a) { int zero = 0; return a / zero; }\n")
    command = ["cppcheck", "--quiet", "--std=c11", "--enable=warning,performance,portability", "--inline-suppr",
               "--error-exitcode=1", f"--suppressions-list={ROOT}/tools/cppcheck.txt",
               f"--library={ROOT}/tools/cppcheck.cfg", f"--cppcheck-build-dir={cache}", f"-j{JOBS}", "-D_GNU_SOURCE",
               "-Isrc"]
    status, output, seconds = run([*command, mistake], 60)
    tally.verdict("read cppcheck: finds a mistake", seconds, status == 1, output or "it found nothing")
    status, output, seconds = run([*command, "src"], 600)
    tally.verdict("read cppcheck", seconds, status == 0, output)


def main():
    parser = argparse.ArgumentParser(description="Test everything.")
    parser.add_argument("--long", action="store_true", help="the same at length")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only parts whose name holds one of these")
    options = parser.parse_args()
    tally, start = Tally(), time.monotonic()
    env = {"UPKEEP_CHECK_LONG": "1"} if options.long else {}
    env["UPKEEP_SOURCE"] = str(ROOT)

    def product():
        if build(tally, "gcc", ROOT / "out", []):
            run_tests(tally, "", ROOT / "out", {"house", "unit", "fuzz", "fault", "integration", "crash", "simulation"}, env)

    def sanitized():
        folder = WORK / "asan"
        if build(tally, "gcc, sanitizers", folder, ["-Db_sanitize=address,undefined", "-Dwerror=false"]):
            run_tests(tally, "asan", folder, {"unit", "fuzz", "asan"}, {**SANITIZER_ENV, **env})

    def clang():
        folder = WORK / "clang"
        flags = ["-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dfuzz=true",
                 "-Dc_args=-fsanitize=fuzzer-no-link"]
        if build(tally, "clang, libFuzzer", folder, flags, {"CC": "clang"}):
            run_fuzzers(tally, folder, 120 if options.long else 5)
        read_tidy(tally, folder)

    parts = {"gcc": product, "asan": sanitized, "clang": clang, "format": lambda: read_format(tally),
             "cppcheck": lambda: read_cppcheck(tally)}
    for name, part in parts.items():
        if not options.only or any(word in name for word in options.only):
            part()
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    print(f"\nin {minutes} min {seconds} s")
    print(f"{tally.passed} passed, {tally.failed} failed" + (f", {tally.skipped} skipped" if tally.skipped else ""))
    sys.exit(1 if tally.failed or not tally.passed else 0)


if __name__ == "__main__":
    main()
