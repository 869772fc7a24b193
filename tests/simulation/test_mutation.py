#!/usr/bin/env python3
"""test_mutation.py PROJECT COMPILER…: the simulations bite. TAP.

Each guard of an invariant is taken out of a copy of the model, the engine or its link to remote hosts, one at a time;
a simulation over that copy must name a broken invariant. The copy is compiled without assertions: what the source
notices of itself does not count.
"""
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROJECT, COMPILER = Path(sys.argv[1]), sys.argv[2:]
FOLD, DECIDE, PART = "src/model/rollout.c", "src/model/rollout_decide.c", "src/model/rollout_part.c"
ENGINE, REMOTE, JOURNAL = "src/engine/engine.c", "src/engine/host_link_remote.c", "src/journal/journal.c"
PACKAGES = ["libcrypto", "jansson", "yaml-0.1"]

SHARED = ["auditor.c", "auditor_check.c", "chance.c", "script.c"]
# {program: (its seeds, its own sources, what it is made of beside base/ and model/)}
PROGRAMS = {
    "rollout": (8000, ["simulate_rollout.c", *SHARED], []),
    "fleet": (3000, ["simulate_fleet.c", *SHARED, "agent.c", "balancer.c", "book.c", "controller.c", "fleet.c",
                     "machine.c", "network.c", "people.c", "witness.c", "witness_reality.c"],
              [ENGINE, REMOTE, JOURNAL, "src/engine/change.c", "src/host/deadline.c"]),
}

# (invariants of which one must be named, what was taken out, file, text that stands there once, text instead)
IN_ROLLOUT = [
    ("I1", "a switch without a proof cannot be folded", FOLD,
     "if (kind == ORDER_SWITCH && !host->proved) return false;", ""),
    ("I1 I5 I12", "a host that could not be prepared is not prepared", FOLD,
     "    host->state = HOST_FAILED;\n", "    host->state = HOST_PREPARED;\n"),
    ("I4", "no more are switched than may be out", DECIDE,
     "if (adds && out >= allowed) continue;", "if (adds && out > allowed) continue;"),
    ("I4", "each switch counts at once", DECIDE, "        out += adds;\n", ""),
    ("I4", "a host that is being switched is out", FOLD, "    case HOST_SWITCHING:\n", ""),
    ("I4", "a host that is being probed is out", FOLD, "    case HOST_PROBING:\n", ""),
    ("I4", "no more are put back at one time than may be out", DECIDE, "if ((host->switched && back >= allowed) ||",
     "if ("),
    ("I4", "each one put back counts at once", DECIDE, "        back += host->switched;\n", ""),
    ("I4", "each that served and is put back counts at once", DECIDE, "        out += serving;\n", ""),
    ("I4", "those that are being switched or put back elsewhere count", DECIDE,
     "out = count_out_for_now(rollout), count;", "out = 0, count;"),
    ("I5", "those that will not come back leave room for the others to go back", DECIDE,
     "!may_serve(host) && !is_out_for_good(host);", "!may_serve(host);"),
    ("I4", "those that are being put back count", DECIDE,
     "count += rollout->hosts[i].state == HOST_ROLLING_BACK && rollout->hosts[i].switched;", ";"),
    ("I4", "a host that was left out is out until it is back", FOLD,
     "if (host->missing || (host->part != PART_TAKEN && host->switched)) return true;",
     "if (host->missing) return true;"),
    ("I4", "one that may serve is put back alone when there is room for it", DECIDE,
     "(serving && out >= allowed)", "(serving && out > allowed)"),
    ("I5", "no more are left out than may fail", DECIDE,
     "stage->failed_count < plan_amount_at_most(", "stage->failed_count <= plan_amount_at_most("),
    ("I5", "a threshold is not more generous than it says", DECIDE,
     "plan_amount_at_most(&plan->max_failed", "plan_amount_of(&plan->max_failed"),
    ("I5", "each one left out counts", FOLD, "    stage->failed_count += host->part == PART_FAILED;\n", ""),
    ("I11", "the last host of a stage is not left out", DECIDE,
     " &&\n           stage->left_out_count + 1 < stage->host_count;", ";"),
    ("I11", "the last host of a stage cannot be skipped", PART,
     "if (stage->left_out_count + 1 < stage->host_count) return 0;", "return 0;"),
    ("I5", "a switched host that is well cannot be skipped", PART,
     "if (!untouched && host->part != PART_RETRIED && !has_failed(rollout, host)) {",
     "if (host->confirmed) {"),
    ("I5", "a confirmed host cannot be skipped", PART, "    if (host->confirmed) return false;\n    switch",
     "    if (host->confirmed) return true;\n    switch"),
    ("I12", "a host that is well is not begun again", PART,
     "if (rollout_is_left_out(host) || has_failed(rollout, host)) return 0;", "return 0;"),
    ("I12 I5", "what is rolled back is not begun again", PART,
     "if (rollout->state == ROLLOUT_ROLLING_BACK)\n        return error_set(", "if (false)\n        return error_set("),
    ("I1", "whoever is tried again is proved again", FOLD,
     "host->switched = host->confirmed = host->proved = host->rollback_failed = false;",
     "host->switched = host->confirmed = host->rollback_failed = false;"),
    ("I4 I5 I12", "whoever is tried again is put back first", FOLD,
     "bool back_first = host->switched || host->rollback_failed || host->order_open;",
     "bool back_first = host->order_open;"),
    ("I5 I11", "whoever was left out is in no batch", DECIDE,
     "return host->stage == stage && host->part == PART_TAKEN && host->batch &&",
     "return host->stage == stage && host->batch &&"),
    ("I11", "a stage waits for those that are tried again", DECIDE,
     "return host->part == PART_RETRIED || (host->part", "return (host->part"),
    ("I5", "whoever was left out is put back", DECIDE,
     "    if (any) decide_rollback_orders(decision, true);\n", ""),
    ("I5", "only who was left out is put back alone", DECIDE,
     "if (alone && host->part == PART_TAKEN) continue;", "if (alone && host->state != HOST_CONFIRMED) continue;"),
    ("I5", "the end waits for those that are put back", DECIDE,
     "over &= !host->order_open && !needs_rollback(host);", ""),
    ("I5", "whoever was left out is not committed", DECIDE,
     "        if (host->part != PART_TAKEN) {\n            over", "        if (host->part == PART_RETRIED) {\n            over"),
    ("I5", "a host that needs a person is no success", DECIDE,
     "RolloutOutcome outcome = person_needed ? OUTCOME_FAILED : OUTCOME_SUCCEEDED;",
     "RolloutOutcome outcome = OUTCOME_SUCCEEDED;"),
    ("I5", "whoever was left out is named", DECIDE,
     "        if (rollout_is_left_out(&rollout->hosts[i]))\n            json_array_append_new(names,",
     "        if (rollout->hosts[i].part == PART_FAILED)\n            json_array_append_new(names,"),
    ("I5", "those that stay out leave no rollout stuck", DECIDE, "return wanted && out >= allowed;",
     "return wanted && out > allowed;"),
    ("I5 I12", "a rollback ends every other try", FOLD,
     "if (rollout->hosts[i].part == PART_RETRIED) set_part(", "if (false) set_part("),
    ("I7", "a person who writes in between does no harm", FOLD,
     "    if (rollout_check_skip(fold->rollout, fold->host, NULL) == 0) leave_out(fold, PART_SKIPPED);\n    return true;",
     "    if (rollout_check_skip(fold->rollout, fold->host, NULL) < 0) return false;\n    leave_out(fold, PART_SKIPPED);\n"
     "    return true;"),
    ("I5", "a fault is looked for", DECIDE, "if (find_fault(rollout, decision->now_ms, &fault)) {",
     "if (find_fault(rollout, decision->now_ms, &fault) && !decision) {"),
    ("I5", "after a fault nothing else is decided", DECIDE, "        decide_fault(decision, &fault);\n        return;\n",
     "        decide_fault(decision, &fault);\n"),
    ("I5", "a failed host is a fault", DECIDE, "if (host->state == HOST_FAILED || host->state == HOST_LOST ||",
     "if (host->state == HOST_LOST ||"),
    ("I5", "a lost host is a fault", DECIDE, "if (host->state == HOST_FAILED || host->state == HOST_LOST ||",
     "if (host->state == HOST_FAILED ||"),
    ("I5", "a failing verdict is a fault", DECIDE, "(watched && host->health == VERDICT_FAIL)) {", "false) {"),
    ("I5", "a host that rolled back by itself is a fault", DECIDE,
     "} else if (host->state == HOST_ROLLED_BACK) {", "} else if (false) {"),
    ("I5", "an order has a deadline", DECIDE,
     "found && decision->now_ms >= order_until_ms(decision->rollout, host);", "false;"),
    ("I5", "what was touched is put back", DECIDE, "    return !host->rollback_failed && !host->kept;\n",
     "    return false;\n"),
    ("I5", "a host in an order is not forgotten at the end", DECIDE,
     "left |= needs_rollback(host) || host->order_open;", "left |= needs_rollback(host) && !host->order_open;"),
    ("I7", "an order is answered once", FOLD, "return fold->host && fold->host->order_open &&\n", "return fold->host &&\n"),
    ("I7", "an answer is that of its order", FOLD,
     'strcmp(fold->host->order.id, json_get_text(fold->event, "order_id", "")) == 0', "true"),
    ("I7", "no order is taken beside an open one", FOLD, "if (!host || host->order_open ||", "if (!host ||"),
    ("I7", "each order has a name of its own", FOLD, "    host->order_count++;\n", ""),
    ("I7", "no second confirmation", DECIDE, "host->state == HOST_HEALTHY && !host->order_open && fresh)",
     "host->state == HOST_HEALTHY && fresh)"),
    ("I7", "no second commit", DECIDE, "host->state == HOST_CONFIRMED && !host->order_open &&",
     "host->state == HOST_CONFIRMED &&"),
    ("I7", "no second rollback", DECIDE, "if (needs_rollback(host) && !host->order_open)", "if (needs_rollback(host))"),
    ("I11", "only a pass confirms", DECIDE,
     "host->health == VERDICT_PASS && host->health_ms > rollout->stages", "host->health_ms > rollout->stages"),
    ("I11", "only a pass ends the last watch", DECIDE,
     "host->health == VERDICT_PASS && host->health_ms > rollout->take_over", "host->health_ms > rollout->take_over"),
    ("I11", "only a pass since the soak began confirms", DECIDE,
     "&& host->health_ms > rollout->stages[stage].soak_from_ms", ""),
    ("I11", "silence is a fault", DECIDE, "if (now_ms - heard_ms > silence_limit_ms)",
     "if (now_ms - heard_ms > silence_limit_ms && false)"),
    ("I11", "a soak lasts until its end", DECIDE,
     "stage->state == STAGE_SOAKING && decision->now_ms >= stage->soak_until_ms", "stage->state == STAGE_SOAKING"),
    ("I11", "after a restart the soak begins anew", FOLD,
     "            begin_soak(rollout, &rollout->stages[i], fold->time_ms);\n", "            ;\n"),
    ("I4", "a retirement before all are admitted cannot be folded", FOLD,
     "if (kind == ORDER_RETIRE && !(host->live && rollout_all_admitted(fold->rollout))) return false; /* I4 */", ""),
    ("I4", "only an answer says that a host is in traffic", FOLD,
     "host->traffic = TRAFFIC_UNSURE;", "host->traffic = kind == ORDER_ADMIT ? TRAFFIC_IN : TRAFFIC_UNSURE;"),
    ("I4 I7", "nobody is retired before all are admitted", DECIDE,
     "} else if (decide_move(decision, false, ORDER_ADMIT, TRAFFIC_IN) &&",
     "} else if ((decide_move(decision, false, ORDER_ADMIT, TRAFFIC_IN) || decision) &&"),
    ("I4 I5", "whoever served serves again before others are put back", DECIDE,
     "    if (decide_live_back(decision)) return;\n", "    decide_live_back(decision);\n"),
    ("I4", "whoever served is admitted again", DECIDE, "    if (decide_live_back(decision)) return;\n", ""),
    ("I4", "the last to serve are kept", DECIDE,
     "    if (host->traffic != TRAFFIC_OUT && has_no_live(rollout)) return true;\n", ""),
    ("I4", "a live host that is admitted again is not told to stop that", DECIDE,
     "host->order.kind == ORDER_ROLLBACK || (host->live && host->order.kind == ORDER_ADMIT);",
     "host->order.kind == ORDER_ROLLBACK;"),
    ("I5", "live hosts that cannot come back are not waited for", DECIDE,
     "bool hopeless = host->state == HOST_LOST || host->rollback_failed;", "bool hopeless = false;"),
    ("I5", "a live host is not prepared", DECIDE,
     "        if (host->live) continue;\n        if (host->state == HOST_PENDING &&", "        if (host->state == HOST_PENDING &&"),
    ("I11", "the last watch lasts until its end", DECIDE,
     "    if (now_ms < rollout->take_over.soak_until_ms) return false;\n", ""),
    ("I11", "only a pass since the last watch began is one", DECIDE,
     "&& host->health_ms > rollout->take_over.soak_from_ms", ""),
    ("I11", "after a restart the last watch begins anew", FOLD,
     "    if (rollout->take_over.state == STAGE_SOAKING) begin_last_soak(rollout, fold->time_ms);\n", ""),
    ("I11", "nothing is committed before the take-over", DECIDE,
     "rollout->take_over.state != STAGE_PASSED)", "rollout->take_over.state == STAGE_PENDING)"),
    ("I12", "only what is prepared is switched", DECIDE, "host->state != HOST_PREPARED || host->order_open) continue;",
     "host->order_open) continue;"),
    ("I12 I5", "resume only ends a pause", FOLD, "    if (rollout->state != ROLLOUT_PAUSED) return true;\n", ""),
    ("I12 I5", "a pause only stops what runs", FOLD, "    if (fold->rollout->state != ROLLOUT_RUNNING) return true;", ""),
    ("I12 I5", "what is rolled back does not go forward", DECIDE,
     "else if (rollout->state == ROLLOUT_ROLLING_BACK)\n", "else if (rollout->state == ROLLOUT_FAILED)\n"),
    ("I12 I5", "an abort rolls back", FOLD, "    fold_failing(fold);\n    fold->rollout->refused = false;\n",
     "    fold->rollout->refused = false;\n"),
]


IN_FLEET = [
    ("I7", "a report that was heard before is dropped", REMOTE, "    if (number <= box->taken) return 0;\n", ""),
    ("I7", "a report that leaves a gap is refused", REMOTE, "if (number > box->taken + 1)", "if (number < 0)"),
    ("I7", "only what stands in the journal need not come again", REMOTE, "*heard = box->heard;", "*heard = box->taken;"),
    ("I7", "a new link goes on counting where the journal ends", REMOTE,
     ".taken = spec->rollout->hosts[i].report_number,", ".taken = 0,"),
    ("I7", "a new link knows what was heard", REMOTE, ".heard = spec->rollout->hosts[i].report_number", ".heard = 0"),
    ("I7", "what stands in the journal is heard", REMOTE, "    if (number > box->heard) box->heard = number;\n", ""),
    ("I5", "an order that is answered is handed out no more", REMOTE, 'json_get_text(event, "order_id", ""), box->order.id) == 0) box->waiting = false;',
     'json_get_text(event, "order_id", ""), box->order.id) == 0) (void)box;'),
    ("I5", "an order that is withdrawn is handed out no more", REMOTE, "    box->waiting = box->cancelled = false;\n", ""),
    ("I7", "a new order is not cancelled", REMOTE, "    box->cancelled = false;\n", ""),
    ("I7", "a cancel reaches its host", REMOTE, "    box->cancelled = box->waiting;\n", ""),
    ("I7", "hosts say only what is theirs to say", REMOTE,
     'return "no host may say that";', "return NULL;"),
    ("I7", "hosts speak only of their own orders", REMOTE,
     "if (types[i].of_order && !was_given(box, id) && !order_is_by_itself(id))", "if (false)"),
    ("I7", "an answer to an order that is closed is not taken", ENGINE,
     "    if (!is_answer(event)) return true;\n", "    return true;\n"),
    ("I7", "a late answer keeps its number", ENGINE, 'if (json_get_integer(event, "report", 0) == 0) {', "if (true) {"),
    ("I7", "a second answer in one breath waits", ENGINE, "if (answer && *closed_in == engine->batch) {", "if (false) {"),
    ("I7", "so does one behind a rollback by itself", ENGINE,
     'if (answer || strcmp(json_get_text(report->event, "type", ""), "host.rolled_back") == 0)', "if (answer)"),
    ("I7", "open orders are sent again after a restart", ENGINE, "if (!host->order_open) continue;", "continue;"),
    ("I7", "so are cancels", ENGINE,
     "if (host->order_cancelled) spec->link->cancel(spec->link, host->name);", ""),
    ("I7", "a cancel is acted upon", ENGINE, 'if (strcmp(type, "order.cancelled") == 0)', "if (!type)"),
    ("I7", "an order that is given is acted upon", ENGINE, 'if (strcmp(type, "order.given") == 0)', "if (!type)"),
    ("I5", "an order that closes without an answer is withdrawn", ENGINE,
     "if (closed && engine->spec->link->withdraw)", "if (!type)"),
    ("I7", "the link hears what stands in the journal", ENGINE, "if (report && host && engine->spec->link->heard)",
     "if (report < 0)"),
    ("I7", "who is asked to leave lets a switch come to its end", ENGINE,
     "rollout->hosts[i].order.kind != ORDER_PREPARE) return false;", "!rollout) return false;"),
    ("I5 I12", "what was decided before a person wrote is not written", JOURNAL, "    if (batch->change)\n", "    if (false)\n"),
    ("I5", "a failing verdict is not hidden by a better one", FOLD,
     "    if (fold->host->health == VERDICT_FAIL) return true;\n", ""),
    ("I5", "a lost host that is heard again goes back", FOLD,
     "    if (fold->host->state == HOST_LOST) fold->host->state = HOST_FAILED;\n", ""),
    ("I5", "a person's rollback reaches lost hosts", FOLD,
     "        if (rollout->hosts[i].state == HOST_LOST) rollout->hosts[i].state = HOST_FAILED;\n", ""),
    ("I6", "a host not confirmed by its deadline is a fault", DECIDE,
     "} else if (host->state == HOST_HEALTHY && host->confirm_by_ms && now_ms >= host->confirm_by_ms) {",
     "} else if (false) {"),
    ("I11", "after a restart nobody has passed yet", FOLD,
     "        if (host->health == VERDICT_PASS) host->health = VERDICT_INCONCLUSIVE;\n        host->health_ms = 0;\n", ""),
    ("I7", "counting reports outlives an engine", FOLD, "    fold->host->report_number = number;\n", ""),
]
MUTATIONS = [("rollout", *one) for one in IN_ROLLOUT] + [("fleet", *one) for one in IN_FLEET]


def run(*words, **more):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=400, **more)


def compile_one(source, target, folder, *flags):
    """One file to an object; the headers are those of the project."""
    done = run(*COMPILER, "-std=gnu11", "-O1", "-w", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-DNDEBUG", *flags,
               "-I", PROJECT / "src", *CFLAGS, "-c", source, "-o", target, cwd=folder)
    if done.returncode:
        raise AssertionError(f"{source} does not compile:\n{done.stderr}")
    return target


def build_all(folder):
    """Everything there is: {path: object}."""
    catalogue = folder / "text_catalogue.c"
    done = run(sys.executable, PROJECT / "tools/po_to_c.py", PROJECT / "po/zh.po", catalogue)
    assert done.returncode == 0, done.stderr
    paths = [*sorted((PROJECT / "src/base").glob("*.c")), *sorted((PROJECT / "src/model").glob("*.c"))]
    for _, own, more in PROGRAMS.values():
        paths += [PROJECT / "tests/simulation" / name for name in own] + [PROJECT / path for path in more]
    paths = list(dict.fromkeys(paths))
    names = [str(path.relative_to(PROJECT)) for path in paths] + [catalogue.name]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(names, pool.map(
            lambda pair: compile_one(pair[0], folder / (pair[1].replace("/", "_") + ".o"), folder),
            zip([*paths, catalogue], names))))


def objects_of(program, objects):
    _, own, more = PROGRAMS[program]
    wanted = {f"tests/simulation/{name}" for name in own} | set(more)
    return {path: made for path, made in objects.items()
            if path in wanted or path.startswith(("src/base/", "src/model/", "text_catalogue"))}


def simulate(program, objects, folder, name):
    path = folder / name
    done = run(*COMPILER, *objects_of(program, objects).values(), "-o", path, *LIBS, "-lpthread")
    assert done.returncode == 0, done.stderr
    done = run(path, PROGRAMS[program][0])
    path.unlink()
    return done


def unmutated_passes(program, objects, folder):
    done = simulate(program, objects, folder, "whole")
    assert done.returncode == 0 and "ok 1 - " in done.stdout and "not ok" not in done.stdout, done.stdout[:500]


def is_caught(objects, folder, number):
    """None, or what is wrong."""
    program, invariants, _, path, old, new = MUTATIONS[number]
    text = (PROJECT / path).read_text()
    if text.count(old) != 1:
        return f"{path} has this {text.count(old)} times, not once: {old!r}"
    copy = folder / f"mutated{number}.c"
    copy.write_text(text.replace(old, new))
    try:
        mutated = {**objects, path: compile_one(copy, copy.with_suffix(".o"), folder)}
        done = simulate(program, mutated, folder, f"mutated{number}")
    except (AssertionError, subprocess.TimeoutExpired) as problem:
        return str(problem)
    found = re.match(r"(?:.*\n)*?seed (\d+): (I\d+): (.*)", done.stdout)
    if done.returncode != 1 or not found:
        return f"the simulation says nothing of it: exit {done.returncode}, {done.stdout[:300]!r} {done.stderr[:300]!r}"
    if found[2] not in invariants.split():
        return f"it names {found[2]} ({found[3]}), not {invariants}"
    print(f"# seed {found[1]}: {found[2]}: {found[3]}")
    return None


def main():
    failures = 0
    print(f"TAP version 13\n1..{len(MUTATIONS) + len(PROGRAMS)}", flush=True)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(name)
        objects = build_all(folder)
        for number, program in enumerate(PROGRAMS):
            unmutated_passes(program, objects, folder)
            print(f"ok {number + 1} - as it stands, the {program} keeps its invariants", flush=True)
        for number, problem in enumerate(pool.map(lambda n: is_caught(objects, folder, n), range(len(MUTATIONS)))):
            failures += problem is not None
            title = f"{MUTATIONS[number][1]}: without “{MUTATIONS[number][2]}” the simulation fails"
            print(f"{'not ok' if problem else 'ok'} {number + 1 + len(PROGRAMS)} - {title}", flush=True)
            for line in (problem or "").splitlines():
                print(f"#   {line}")
    sys.exit(bool(failures))


CFLAGS = run("pkg-config", "--cflags", *PACKAGES).stdout.split()
LIBS = run("pkg-config", "--libs", *PACKAGES).stdout.split()
main()
