#!/usr/bin/env python3
"""test_mutation.py PROJECT LIBRARY… -- COMPILER…: the simulations and the tests of modules bite. TAP.

Each guard of an invariant is taken out of a copy of the source, one at a time. A simulation over a copy of the model,
the engine or its link to remote hosts must name a broken invariant; for what simulations only play (journal, packages,
hosts) the test that is named must fail, linked with the LIBRARIES of this build, highest floor first. The copy is
compiled without assertions: what the source notices of itself does not count.
"""
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROJECT, LIBRARIES = Path(sys.argv[1]), [Path(word).resolve() for word in sys.argv[2 : sys.argv.index("--")]]
COMPILER = sys.argv[sys.argv.index("--") + 1 :]
FOLD, DECIDE, PART = "src/model/rollout.c", "src/model/rollout_decide.c", "src/model/rollout_part.c"
ENGINE, REMOTE, JOURNAL = "src/engine/engine.c", "src/engine/host_link_remote.c", "src/journal/journal.c"
CHAIN, TRUST, SIGNATURE, KEYRING = JOURNAL, "src/trust/trust.c", "src/trust/signature.c", "src/trust/keyring.c"
PACKAGE, FRAME, VERIFY = "src/package/package.c", "src/package/frame.c", "src/package/verify.c"
INSTALL, RELEASE, WORKER = "src/package/install.c", "src/host/release.c", "src/agent/worker.c"
HOST, KEEP, DEADLINE = "src/host/host.c", "src/host/guard_keep.c", "src/host/deadline.c"
PREPARE, SWITCH, ROLLBACK = "src/host/host_prepare.c", "src/host/host_switch.c", "src/host/host_rollback.c"
PACKAGES = ["libcrypto", "jansson", "yaml-0.1"]
ALL_PACKAGES = [*PACKAGES, "cmocka", "libssl", "libargon2", "libzstd", "libarchive", "sqlite3", "libcurl", "libmicrohttpd",
                "gnutls"]

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

# {program of tests/unit: (invariant, what was taken out, file, text that stands there once, text instead, the test that
# must fail)}
IN_UNITS = {
    "journal": [
        ("I8", "each hash holds the one before it", CHAIN, "    digest_stream_add(stream, hex, DIGEST_TEXT_SIZE - 1);\n", "",
         "test_two_events_that_changed_places_are_detected"),
        ("I8", "each hash holds its event", CHAIN, "    digest_stream_add(stream, text, size);\n", "",
         "test_an_altered_event_is_detected"),
        ("I8", "what is stored is held against the chain", CHAIN, "if (!digest_equal(&hash, &row->hash))", "if (false)",
         "test_an_altered_event_is_detected"),
        ("I8", "no number is left out", CHAIN, "if (row->sequence != seen->sequence + 1)", "if (false)",
         "test_a_gap_in_the_numbers_is_detected"),
        ("I8", "an event is filed under its change", CHAIN,
         'if (strcmp(json_get_text(event, "change", ""), row->change) != 0)', "if (false)",
         "test_an_event_filed_under_another_change_is_detected"),
        ("I8", "a batch is written as a whole", CHAIN, "if (result < 0) driver->cancel(journal->self);",
         "if (result < 0) driver->commit(journal->self, NULL);", "test_a_batch_that_fails_half_way_leaves_nothing"),
    ],
    "trust": [
        ("I9", "as many must sign as are asked for", TRUST, "if (found.valid_count < trust->threshold)",
         "if (found.valid_count < 1)", "test_refuses_too_few"),
        ("I9", "the same key twice is one", TRUST, "if (is_known(trust, key))", "if (false)",
         "test_refuses_thresholds_that_mean_nothing"),
        ("I9", "a signature is of what was signed", TRUST,
         "if (key_verifies(trust->keys[i], bytes, size, signature->bytes)) return", "return",
         "test_refuses_what_was_altered"),
        ("I9", "a key signs once", SIGNATURE, "|| stands_at(list, at, id)) return -1;", ") return -1;",
         "test_refuses_malformed_lists"),
    ],
    "keyring": [
        ("I9", "a folder that others may write says nothing of trust", KEYRING,
         "    if (file_check_private(dir, folder, error) < 0) {\n", "    if (false) {\n",
         "test_a_folder_that_others_may_write_is_trusted_by_nobody"),
    ],
    "package": [
        ("I9", "a package is signed by a trusted key", PACKAGE, "if (trust && trust_verify(", "if (!trust && trust_verify(",
         "test_refuses_strangers"),
        ("I9", "no package without signatures", PACKAGE, "if (trust && trust_verify(", "if (!trust && trust_verify(",
         "test_refuses_the_unsigned"),
        ("I9", "a frame is unpacked when it is the one that was signed", FRAME,
         "if (!digest_equal(&digest, &frame->digest))", "if (false)", "test_refuses_bytes_changed_after_it_was_opened"),
        ("I9", "a file is what was signed", VERIFY, "if (digest_equal(digest, &entry->digest)) return 0;", "return 0;",
         "test_refuses_a_file_that_is_not_what_its_digest_says"),
    ],
    "worker": [
        ("I9", "a host trusts its own keys, not its controller's", WORKER,
         "if (keyring_list(trusted, worker->arena, &plan->package.trust, error) < 0) return -1;",
         "StringList own;\n    if (keyring_list(trusted, worker->arena, &own, error) < 0) return -1;",
         "test_without_a_trusted_key_orders_are_answered_and_the_way_back_is_done"),
    ],
    "install": [
        ("I10", "what was written is read back", INSTALL, "    return read_back(installation, error);\n", "    return 0;\n",
         "test_finds_what_the_disk_did_not_keep"),
    ],
    "release": [
        ("I10", "what is not there is not made current", RELEASE, "if (release_exists(root, version, error) != 1)\n"
         "        return error_set(error, ERROR_ATTENTION", "if (false)\n        return error_set(error, ERROR_ATTENTION",
         "test_what_is_not_there_cannot_be_activated"),
        ("I10", "what is current is not removed", RELEASE, "if (strcmp(current, version) == 0)", "if (false)",
         "test_the_one_in_use_is_not_removed"),
        ("I10", "a current that is not ours is no release", RELEASE,
         "if (strncmp(target, prefix, strlen(prefix)) != 0 || strchr(name, '/') ||", "if (strchr(name, '/') ||",
         "test_a_foreign_current_is_never_taken_for_ours"),
        ("I10", "nothing of an earlier attempt becomes part of a release", RELEASE,
         "    if (file_remove_tree(staging, version, error) < 0) return -1;\n    return file_open_dir_beneath(staging",
         "    return file_open_dir_beneath(staging", "test_staging_forgets_what_an_earlier_attempt_left"),
    ],
    "host": [
        ("I9", "a change installs the package it was opened with", PREPARE,
         "if (strcmp(digest, host->spec.package_digest) != 0 ||\n        strcmp(package", "if (strcmp(package",
         "test_a_package_that_was_exchanged_is_not_installed"),
        ("I10", "what is installed already is whole", PREPARE, "&first, NULL) == 0 &&\n           differences == 0;",
         "&first, NULL) == 0;", "test_a_damaged_release_of_that_version_is_installed_anew"),
        ("I12", "what is put back is no longer switched", ROLLBACK, "{ host->ledger.switched = false; }", "{ (void)host; }",
         "test_a_version_whose_rollback_failed_half_way_is_not_one_to_be_watched"),
        ("I12", "what is being put back is not confirmed", HOST,
         "if (host->live || !takes || !host->ledger.stopped || host->ledger.switched) return 0;", "return 0;",
         "test_a_version_whose_rollback_failed_half_way_is_not_confirmed"),
        ("I12", "what went back by itself is not switched again", HOST,
         "if (host->ledger.rolled_back && order->kind != ORDER_ROLLBACK)\n", "if (false)\n",
         "test_what_rolled_back_by_itself_is_not_switched_again"),
    ],
    "deadline": [
        ("I6", "a clock that was set does not delay", DEADLINE, "if (deadline->confirm_by_ms != confirm_by_ms)", "if (1)",
         "test_a_wall_clock_that_is_set_neither_hurries_nor_delays"),
        ("I6", "another deadline is another one", DEADLINE, "if (deadline->confirm_by_ms != confirm_by_ms)",
         "if (!deadline->confirm_by_ms)", "test_another_moment_is_learnt_anew"),
        ("I6", "a clock that lies delays by what was given at most", DEADLINE,
         "return given_ms > 0 && left_ms > given_ms ? given_ms : left_ms;", "return left_ms;",
         "test_a_wall_clock_that_lies_when_it_is_learnt_delays_by_what_was_given_at_most"),
    ],
    "guard": [
        ("I6", "a switch begins with a guard that is awake", SWITCH,
         "return guard_ensure(host->upkeep, host->spec.guard, error);", "return 0;",
         "test_an_unconfirmed_switch_is_put_back_though_nobody_is_left"),
        ("I6", "a guard puts back what nobody has confirmed", KEEP,
         "result = roll_back(root, dir, &ledger, arena, error);", "result = 0;",
         "test_an_unconfirmed_switch_is_put_back_though_nobody_is_left"),
        ("I6", "a guard stays until the deadline", KEEP, "    if (is_armed(&ledger)) {\n        result = 1;\n",
         "    if (is_armed(&ledger)) {\n", "test_an_unconfirmed_switch_is_put_back_though_nobody_is_left"),
        ("I6", "a guard waits for whoever is at it", KEEP, "result = 1; /* an engine is at it", "result = 0; /* an engine is at it",
         "test_a_guard_waits_for_whoever_is_at_it"),
        ("I6", "a guard looks once more before it acts", KEEP, "host_is_armed(host) ? host_roll_back_by_itself(host, error) : 0;",
         "host_roll_back_by_itself(host, error);", "test_a_guard_looks_once_more_when_it_has_the_lock"),
        ("I6", "who opens a host that is armed sees to its guard", HOST,
         "return host_is_guarded(host) ? guard_ensure(host->upkeep, host->spec.guard, error)\n", "return false ? -1\n",
         "test_who_opens_a_switched_host_wakes_its_guard"),
        ("I6", "what is confirmed is armed no more", HOST,
         "return ledger->confirm_by_ms && !ledger->confirmed && !ledger->committed && !ledger->rolled_back;",
         "return ledger->confirm_by_ms && !ledger->committed && !ledger->rolled_back;",
         "test_a_guard_looks_once_more_when_it_has_the_lock"),
    ],
}
UNIT_MUTATIONS = [(program, *one) for program, rows in IN_UNITS.items() for one in rows]


def run(*words, **more):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=400, **more)


def compile_one(source, target, folder, *flags):
    """One file to an object; the headers are those of the project."""
    done = run(*COMPILER, "-std=gnu11", "-O1", "-w", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-DNDEBUG", '-DUPKEEP_VERSION="0"',
               *flags, "-I", PROJECT / "src", *CFLAGS, "-c", source, "-o", target, cwd=folder)
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


def compile_mutated(path, old, new, folder, name):
    text = (PROJECT / path).read_text()
    if text.count(old) != 1:
        raise AssertionError(f"{path} has this {text.count(old)} times, not once: {old!r}")
    copy = folder / f"{name}.c"
    copy.write_text(text.replace(old, new))
    return compile_one(copy, copy.with_suffix(".o"), folder)


def is_caught(objects, folder, number):
    """None, or what is wrong."""
    program, invariants, _, path, old, new = MUTATIONS[number]
    try:
        mutated = {**objects, path: compile_mutated(path, old, new, folder, f"mutated{number}")}
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


def run_units(program, tests, objects, folder, name):
    """What the tests say when `objects` stand for what the libraries have of the same names."""
    path = folder / name
    done = run(*COMPILER, folder / f"test_{program}.o", *objects, *LIBRARIES, "-o", path, *ALL_LIBS, "-lpthread")
    assert done.returncode == 0, done.stderr
    said = [run(path, env={**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP", "UPKEEP_TEST": test}) for test in tests]
    path.unlink()
    return said


def whole_units_pass(program, folder):
    tests = sorted({row[-1] for row in IN_UNITS[program]})
    compile_one(PROJECT / "tests/unit" / f"test_{program}.c", folder / f"test_{program}.o", folder, "-UNDEBUG", "-I",
                PROJECT / "tests")
    for test, done in zip(tests, run_units(program, tests, [], folder, f"whole_{program}")):
        assert done.returncode == 0 and f"ok 1 - {test}" in done.stdout and "# skipped" not in done.stdout + done.stderr, (
            test, done.stdout, done.stderr)


def is_noticed(folder, number):
    """None, or what is wrong."""
    program, _, _, path, old, new, test = UNIT_MUTATIONS[number]
    name = f"unit{number}"
    try:
        done, = run_units(program, [test], [compile_mutated(path, old, new, folder, name)], folder, name)
    except (AssertionError, subprocess.TimeoutExpired) as problem:
        return str(problem)
    if done.returncode and f"not ok 1 - {test}" in done.stdout:
        return None
    return f"{test} says nothing of it: exit {done.returncode}, {done.stdout[:300]!r} {done.stderr[:300]!r}"


def main():
    failures = 0
    number = 0
    print(f"TAP version 13\n1..{len(PROGRAMS) + len(IN_UNITS) + len(MUTATIONS) + len(UNIT_MUTATIONS)}", flush=True)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(name)
        objects = build_all(folder)
        for program in PROGRAMS:
            unmutated_passes(program, objects, folder)
            number += 1
            print(f"ok {number} - as it stands, the {program} keeps its invariants", flush=True)
        for program, _ in zip(IN_UNITS, pool.map(lambda name: whole_units_pass(name, folder), IN_UNITS)):
            number += 1
            print(f"ok {number} - as it stands, the tests of {program} pass", flush=True)
        for row, problem in (
                *zip(MUTATIONS, pool.map(lambda one: is_caught(objects, folder, one), range(len(MUTATIONS)))),
                *zip(UNIT_MUTATIONS, pool.map(lambda one: is_noticed(folder, one), range(len(UNIT_MUTATIONS))))):
            number += 1
            failures += problem is not None
            by = "simulation" if row[0] in PROGRAMS else f"test of {row[0]}"
            print(f"{'not ok' if problem else 'ok'} {number} - {row[1]}: without “{row[2]}” the {by} fails", flush=True)
            for line in (problem or "").splitlines():
                print(f"#   {line}")
    sys.exit(bool(failures))


CFLAGS = run("pkg-config", "--cflags", *ALL_PACKAGES).stdout.split()
LIBS = run("pkg-config", "--libs", *PACKAGES).stdout.split()
ALL_LIBS = run("pkg-config", "--libs", *ALL_PACKAGES).stdout.split()
main()
