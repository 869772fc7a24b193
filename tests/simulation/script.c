#include "script.h"

static void write_max_failed(Chance *chance, size_t hosts, Buffer *out) {
    if (chance_one_in(chance, 2)) return;
    if (chance_one_in(chance, 2))
        buffer_printf(out, ", max_failed: %d", (int)chance_up_to(chance, (int64_t)hosts + 1));
    else
        buffer_printf(out, ", max_failed: %d%%", (int)chance_up_to(chance, 101));
}

static void write_weight(Chance *chance, bool canary, Buffer *out) {
    if (canary && chance_one_in(chance, 2))
        buffer_printf(out, ", weight: %d%%", 1 + (int)chance_up_to(chance, 100));
}

static void write_stages(Chance *chance, size_t upgraded, bool canary, Buffer *out) {
    buffer_text_append(out, "  stages:\n");
    if (upgraded > 1 && chance_one_in(chance, 2)) {
        buffer_text_append(out, "    - {name: pilot, hosts: 1, soak: 20s");
        write_weight(chance, canary, out);
        buffer_text_append(out, "}\n");
    }
    buffer_printf(out, "    - {name: rest, batch: %d%%, soak: %ds", 1 + (int)chance_up_to(chance, 100),
                  (int)chance_up_to(chance, 60));
    write_max_failed(chance, upgraded, out);
    write_weight(chance, canary, out);
    buffer_text_append(out, "}\n");
}

static void write_rollout(Chance *chance, size_t hosts, size_t live, bool canary, Buffer *out) {
    buffer_text_append(out, "rollout:\n");
    if (live)
        buffer_printf(out, "  strategy: blue-green\n  live: {side: blue}\n  take_over_soak: %ds\n",
                      (int)chance_up_to(chance, 60));
    if (canary) buffer_text_append(out, "  strategy: canary\n");
    buffer_printf(out, "  confirm_deadline: %dm\n", 5 + (int)chance_up_to(chance, 20));
    if (chance_one_in(chance, 2))
        buffer_printf(out, "  lost_after: %dm\n", 10 + (int)chance_up_to(chance, 30));
    if (chance_one_in(chance, 2))
        buffer_printf(out, "  max_unavailable: %d\n", 1 + (int)chance_up_to(chance, (int64_t)hosts));
    else
        buffer_printf(out, "  max_unavailable: %d%%\n", 1 + (int)chance_up_to(chance, 100));
    write_stages(chance, hosts - live, canary, out);
}

void script_write(Chance *chance, size_t hosts, Buffer *out) {
    static const char *const data[] = {"keep-data", "restore-data", "hold"};
    bool blue_green = hosts > 1 && chance_one_in(chance, 4), canary = !blue_green && chance_one_in(chance, 4);
    size_t live = blue_green ? 1 + (size_t)chance_up_to(chance, (int64_t)hosts - 1) : 0;
    buffer_printf(
        out,
        "upkeep: 1\nservice:\n  name: s\n  root: /srv/${host.name}\n  run: {systemd: s.service}\n"
        "  rollback_confirmed: %s\npackage: {file: s.upk, trust: [s.pub]}\non_failure: %s\nhosts:\n",
        data[chance_up_to(chance, 3)], chance_one_in(chance, 4) ? "hold" : "rollback");
    for (size_t i = 0; i < hosts; i++)
        buffer_printf(out, "  - {name: h%zu, labels: {side: %s}}\n", i, i < live ? "blue" : "green");
    if (live || canary || chance_one_in(chance, 4))
        buffer_text_append(out, "traffic: {commands: {drain: [out], readmit: [in], weight: [weigh]}}\n");
    buffer_text_append(out, "health: [{tcp: {address: \"127.0.0.1:1\"}}]\n");
    write_rollout(chance, hosts, live, canary, out);
}
