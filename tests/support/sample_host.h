/* SampleHost: a host of the service of sample_service.h without an engine: the test gives the orders.
 *
 *     SampleHost host = sample_host(folder, "C1", "1.0", NULL);    the package 1.0.upk is there
 *     sample_host_open(&host); sample_host_done(&host, ORDER_PREPARE); sample_host_close(&host);
 */
#pragma once
#include "host/host.h"
#include "host/ledger.h"
#include "support/sample_service.h"

typedef struct SampleHost {
    Arena *arena;
    const TestFolder *folder;
    Plan *plan; /* of this host; a test may change it before it opens the host */
    HostSpec spec;
    Host *host; /* NULL: not open */
    int orders; /* that it was given */
} SampleHost;

/* `guard`: its guard's command line, or NULL. */
static inline SampleHost sample_host(const TestFolder *folder, const char *change, const char *version,
                                     const char *const *guard) {
    Arena *arena = arena_new();
    BUFFER_AUTO text = {0};
    PACKAGE_AUTO package = NULL;
    Plan *all = NULL, *plan = NULL;
    char digest[DIGEST_TEXT_SIZE];
    sample_write_plan(folder, version, "", &text);
    assert_done(plan_compile(arena, "p", "/", buffer_text(&text), text.size, &all, error));
    assert_done(plan_for_host(arena, all, "h", version, &plan, error));
    assert_done(sample_open(folder, arena_printf(arena, "%s.upk", version), &package, error));
    digest_to_text(&package->digest, digest);
    return (SampleHost){.arena = arena,
                        .folder = folder,
                        .plan = plan,
                        .spec = {.plan = plan,
                                 .change = arena_strdup(arena, change),
                                 .version = arena_strdup(arena, version),
                                 .package_digest = arena_strdup(arena, digest),
                                 .store = arena_printf(arena, "%s/restore-points", folder->path),
                                 .guard = guard,
                                 .clock = clock_system()}};
}

static inline void sample_host_open(SampleHost *host) {
    assert_done(host_open(&host->spec, &host->host, error));
}

static inline void sample_host_shut(SampleHost *host) {
    host_close(host->host);
    host->host = NULL;
}

static inline void sample_host_close(SampleHost *host) {
    sample_host_shut(host);
    arena_free(host->arena);
}

/* What host_carry_out() gives. */
static inline int sample_host_order(SampleHost *host, OrderKind kind, Error *failure) {
    Order order = {.kind = kind, .restore_data = true};
    snprintf(order.id, sizeof order.id, "%s/h/%d", host->spec.change, ++host->orders);
    return host_carry_out(host->host, &order, NULL, failure);
}

static inline void sample_host_done(SampleHost *host, OrderKind kind) {
    assert_done(sample_host_order(host, kind, error));
}

/* Up to and with its commit, and closed. */
static inline void sample_host_upgrade(const TestFolder *folder, const char *change, const char *version) {
    SampleHost host = sample_host(folder, change, version, NULL);
    sample_host_open(&host);
    for (OrderKind kind = ORDER_PREPARE; kind <= ORDER_COMMIT; kind++) sample_host_done(&host, kind);
    sample_host_close(&host);
}

static inline int sample_host_upkeep(const TestFolder *folder) {
    int dir = openat(folder->fd, "root/.upkeep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    return dir;
}

/* What it remembers now; its `dir` is closed. Whoever calls frees with ledger_free(). */
static inline Ledger sample_host_ledger(const TestFolder *folder, Arena *arena) {
    FD_AUTO upkeep = sample_host_upkeep(folder);
    Ledger ledger;
    assert_done(ledger_load(arena, upkeep, &ledger, error));
    return ledger;
}
