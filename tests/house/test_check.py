#!/usr/bin/env python3
"""test_check.py PROJECT: what ./check counts is what the tests said. TAP."""
import sys

sys.path.insert(0, sys.argv[1] + "/tools")
from check import read_tap  # noqa: E402

CASES = [
    ("counts what passed", "1..2\nok 1 - a\nok 2 - b\n", 0, (2, 0, [])),
    ("counts what failed", "1..2\nok 1 - a\nnot ok 2 - b\n# why\n", 1, (1, 1, [])),
    ("takes the plan at the end", "ok 1 - a\n1..1\n", 0, (1, 0, [])),
    ("a test that stopped early failed", "1..3\nok 1 - a\n", 0, (1, 1, [])),
    ("a test that said nothing failed", "", 0, (0, 1, [])),
    ("a bad exit status alone is a failure", "1..1\nok 1 - a\n", 139, (1, 1, [])),
    ("a deadline is a failure", "1..1\nok 1 - a\n", None, (1, 1, [])),
    ("a bail-out is a failure", "1..1\nok 1 - a\nBail out! no disk\n", 1, (1, 1, [])),
    ("skips keep their reason", "1..1\nok 1 - a # SKIP needs root\n", 0, (0, 0, ["a: needs root"])),
    ("skips as cmocka says them", "1..2\n# skipped: needs root\nnot ok 1 # SKIP test_a\nok 2 - b\n", 0,
     (1, 0, ["test_a: needs root"])),
    ("a silent skip is shown as one", "1..1\nnot ok 1 # SKIP test_a\n", 0, (0, 0, ["test_a: no reason given"])),
    ("a whole file may be skipped", "1..0 # SKIP no systemd\n", 0, (0, 0, ["no systemd"])),
    ("lines that only begin like TAP are none", "1..1\nokay then\nok 1 - a\n", 0, (1, 0, [])),
]

failures = 0
print(f"1..{len(CASES)}")
for number, (name, text, status, expected) in enumerate(CASES, 1):
    got = read_tap(text, status)
    failures += got != expected
    print(f"{'ok' if got == expected else 'not ok'} {number} - {name}" + ("" if got == expected else f"\n# {got}"))
sys.exit(bool(failures))
