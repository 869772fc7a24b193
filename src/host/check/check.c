#include "host/check/check.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/quantity.h"
#include "host/check/check_tls.h"
#include "host/check/facts.h"
#include "host/check/port.h"
#include "host/check/probe.h"
#include "model/version.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>

typedef struct CheckKind {
    const char *key;
    size_t offset; /* of its pointer in PlanCheck */
    void (*run)(const PlanCheck *check, const CheckContext *context, Observation *out);
} CheckKind;

static void judge(Observation *out, bool good) { out->verdict = good ? VERDICT_PASS : VERDICT_FAIL; }

static void unknown(Observation *out) {
    error_set(&out->detail, ERROR_REFUSED, "this machine does not tell");
}

static void check_cpu(const PlanCheck *check, const CheckContext *context, Observation *out) {
    (void)context;
    Facts facts;
    facts_read(&facts);
    if (!facts.cpu_count) return unknown(out);
    judge(out, facts.cpu_count >= check->cpu->cores);
    error_set(&out->detail, ERROR_REFUSED, "%d processors usable, %lld needed", facts.cpu_count,
              (long long)check->cpu->cores);
}

/* `part` percent of `whole`, without overflow for anything below 2^57. */
static uint64_t percent_of(uint64_t whole, int64_t part) {
    return whole / 100 * (uint64_t)part + whole % 100 * (uint64_t)part / 100;
}

static uint64_t needed_of(const Amount *amount, uint64_t total) {
    return amount->percent ? percent_of(total, amount->value) : (uint64_t)amount->value;
}

static void check_memory(const PlanCheck *check, const CheckContext *context, Observation *out) {
    (void)context;
    char found[QUANTITY_TEXT_SIZE], wanted[QUANTITY_TEXT_SIZE];
    Facts facts;
    facts_read(&facts);
    if (!facts.memory_total) return unknown(out);
    uint64_t needed = needed_of(&check->memory->free, facts.memory_total);
    judge(out, facts.memory_available >= needed);
    error_set(&out->detail, ERROR_REFUSED, "%s free, %s needed",
              quantity_size_text(facts.memory_available, found), quantity_size_text(needed, wanted));
}

static void judge_disk(const PlanDisk *plan, const FactsDisk *disk, Observation *out) {
    char found[QUANTITY_TEXT_SIZE], wanted[QUANTITY_TEXT_SIZE];
    uint64_t bytes = needed_of(&plan->free, disk->size), inodes = needed_of(&plan->inodes, disk->inodes);
    bool count_inodes = plan->inodes.set && disk->inodes > 0;
    if (count_inodes && disk->inodes_free < inodes) {
        out->verdict = VERDICT_FAIL;
        error_set(&out->detail, ERROR_REFUSED, "%llu inodes free on %s, %llu needed",
                  (unsigned long long)disk->inodes_free, disk->path, (unsigned long long)inodes);
    } else if (plan->free.set) {
        judge(out, disk->free >= bytes);
        error_set(&out->detail, ERROR_REFUSED, "%s free on %s, %s needed",
                  quantity_size_text(disk->free, found), disk->path, quantity_size_text(bytes, wanted));
    } else {
        out->verdict = VERDICT_PASS;
        error_set(&out->detail, ERROR_REFUSED, "%llu inodes free on %s, %llu needed",
                  (unsigned long long)disk->inodes_free, disk->path, (unsigned long long)inodes);
    }
}

static void check_disk(const PlanCheck *check, const CheckContext *context, Observation *out) {
    FactsDisk disk;
    FREE_AUTO char *path = file_join(context->root, check->disk->path ? check->disk->path : ".");
    if (facts_disk(path, &disk, &out->detail) == 0) judge_disk(check->disk, &disk, out);
}

static void check_os(const PlanCheck *check, const CheckContext *context, Observation *out) {
    (void)context;
    const PlanOs *plan = check->os;
    Facts facts;
    facts_read(&facts);
    if (!*facts.os_id || (plan->version && !*facts.os_version)) return unknown(out);
    bool same = !plan->id || strcmp(plan->id, facts.os_id) == 0;
    judge(out, same && (!plan->version || version_in_range(facts.os_version, plan->version)));
    char found[160], wanted[160];
    snprintf(found, sizeof found, "%s %s", facts.os_id, facts.os_version);
    snprintf(wanted, sizeof wanted, "%s%s%s", plan->id ? plan->id : "", plan->id && plan->version ? " " : "",
             plan->version ? plan->version : "");
    error_set(&out->detail, ERROR_REFUSED, "this is %s, %s needed", found, wanted);
}

static void check_kernel(const PlanCheck *check, const CheckContext *context, Observation *out) {
    (void)context;
    Facts facts;
    char version[sizeof facts.kernel];
    facts_read(&facts);
    /* "6.1.0-13-amd64": what follows the dash is the distribution's, no pre-release */
    snprintf(version, sizeof version, "%.*s", (int)strcspn(facts.kernel, "-+_"), facts.kernel);
    if (!*version) return unknown(out);
    judge(out, version_in_range(version, check->kernel->version));
    error_set(&out->detail, ERROR_REFUSED, "this is %s, %s needed", facts.kernel, check->kernel->version);
}

static ProbeContext probe_context(const CheckContext *context) {
    return (ProbeContext){context->root, context->user, context->cancel};
}

static void check_command(const PlanCheck *check, const CheckContext *context, Observation *out) {
    ProbeContext probe = probe_context(context);
    probe_command(check->command, &probe, out);
}

static void check_tcp(const PlanCheck *check, const CheckContext *context, Observation *out) {
    ProbeContext probe = probe_context(context);
    probe_tcp(check->tcp, &probe, out);
}

static void check_http(const PlanCheck *check, const CheckContext *context, Observation *out) {
    ProbeContext probe = probe_context(context);
    probe_http(check->http, &probe, out);
}

static void check_tls(const PlanCheck *check, const CheckContext *context, Observation *out) {
    check_tls_run(check->tls, context, out);
}

static void check_port_free(const PlanCheck *check, const CheckContext *context, Observation *out) {
    const char *text = check->port_free->port;
    char *end = NULL;
    long port = text ? strtol(text, &end, 10) : 0;
    PortHolder holder;
    if (!end || end == text || *end || port < 1 || port > 65535) {
        error_set(&out->detail, ERROR_INVALID, "%s is not a port", text ? text : "");
        return;
    }
    if (port_find_holder((int)port, context->service_pid, &holder, &out->detail) < 0) return;
    judge(out, !holder.found);
    if (!holder.found)
        error_set(&out->detail, ERROR_REFUSED, "port %ld is free", port);
    else if (holder.pid)
        error_set(&out->detail, ERROR_REFUSED, "port %ld is taken by %s (process %d)", port, holder.name,
                  holder.pid);
    else
        error_set(&out->detail, ERROR_REFUSED, "port %ld is taken by a process that cannot be seen from here",
                  port);
}

#define FIRST_BELIEVABLE_MS INT64_C(1735689600000) /* 2025-01-01: this program is younger */

static void check_clock(const PlanCheck *check, const CheckContext *context, Observation *out) {
    char found[QUANTITY_TEXT_SIZE], wanted[QUANTITY_TEXT_SIZE], date[CLOCK_TEXT_SIZE];
    int64_t now_ms = clock_wall_ms(context->clock);
    if (now_ms < FIRST_BELIEVABLE_MS) {
        out->verdict = VERDICT_FAIL;
        clock_to_text(now_ms, date);
        error_set(&out->detail, ERROR_REFUSED, "it says %s, which is past", date);
        return;
    }
    struct timex state = {0};
    int code = adjtimex(&state);
    if (code < 0) {
        error_errno(&out->detail, ERROR_SYSTEM, errno, "cannot ask the kernel");
        return;
    }
    if (code == TIME_ERROR || (state.status & STA_UNSYNC)) {
        error_set(&out->detail, ERROR_REFUSED, "the kernel does not know it to be synchronised");
        error_hint(&out->detail, "run a time service such as systemd-timesyncd or chrony");
        return;
    }
    int64_t error_ms = (state.maxerror + 999) / 1000;
    judge(out, error_ms <= check->clock->skew_ms);
    error_set(&out->detail, ERROR_REFUSED, "wrong by at most %s, %s allowed",
              quantity_duration_text(error_ms, found), quantity_duration_text(check->clock->skew_ms, wanted));
}

static const CheckKind kinds[] = {
    {"cpu", offsetof(PlanCheck, cpu), check_cpu},
    {"memory", offsetof(PlanCheck, memory), check_memory},
    {"disk", offsetof(PlanCheck, disk), check_disk},
    {"os", offsetof(PlanCheck, os), check_os},
    {"kernel", offsetof(PlanCheck, kernel), check_kernel},
    {"command", offsetof(PlanCheck, command), check_command},
    {"tcp", offsetof(PlanCheck, tcp), check_tcp},
    {"http", offsetof(PlanCheck, http), check_http},
    {"tls", offsetof(PlanCheck, tls), check_tls},
    {"port_free", offsetof(PlanCheck, port_free), check_port_free},
    {"clock", offsetof(PlanCheck, clock), check_clock},
};

static const CheckKind *kind_of(const PlanCheck *check) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const void *set;
        memcpy(&set, (const char *)check + kinds[i].offset, sizeof set);
        if (set) return &kinds[i];
    }
    return NULL;
}

const char *check_kind(const PlanCheck *check) {
    const CheckKind *kind = kind_of(check);
    return kind ? kind->key : "";
}

void check_run(const PlanCheck *check, const CheckContext *context, Observation *out) {
    const CheckKind *kind = kind_of(check);
    CheckContext filled = *context;
    if (!filled.clock) filled.clock = clock_system();
    int64_t started_ms = clock_steady_ms(clock_system());
    *out = (Observation){.verdict = VERDICT_INCONCLUSIVE};
    if (kind)
        kind->run(check, &filled, out);
    else
        error_set(&out->detail, ERROR_INVALID, "the plan does not say what to look at");
    if (out->verdict == VERDICT_PASS) out->detail.kind = ERROR_NONE;
    error_prefix(&out->detail, "%s", check->name ? check->name : check_kind(check));
    out->latency_ms = clock_steady_ms(clock_system()) - started_ms;
}
