/* Identities for a swarm, and the journal of a controller whose hosts they are. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "journal/journal_sqlite.h"
#include "swarm.h"
#include "trust/authority.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define YEAR_MS (INT64_C(365) * 24 * 60 * 60 * 1000)
enum { BATCH = 1000 };

static void must(int result, const Error *error) {
    if (result < 0) swarm_die(error->en);
}

static Authority *open_authority(const char *state, int64_t now_ms) {
    FREE_AUTO char *path = file_join(state, "authority");
    Authority *authority = NULL;
    Error error = {0};
    if (authority_create(path, 10 * YEAR_MS, now_ms, &error) < 0 && error.kind != ERROR_REFUSED)
        swarm_die(error.en);
    must(authority_open(path, now_ms, &authority, &error), &error);
    return authority;
}

static json_t *joined_event(const CertificateHost *host, int64_t now_ms) {
    char time[CLOCK_TEXT_SIZE], not_after[CLOCK_TEXT_SIZE];
    clock_to_text(now_ms, time);
    clock_to_text(host->not_after_ms, not_after);
    json_t *event = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s}}", "type", "host.joined", "time", time,
                              "host", host->name, "serial", host->serial, "not_after", not_after, "address",
                              "127.0.0.1", "labels", "role", "swarm");
    if (!event) abort();
    return event;
}

/* Its key, certificate and event: as enrolment would have made them. */
static json_t *make_host(const Authority *authority, Agent *agent, int64_t now_ms) {
    Error error = {0};
    FREE_AUTO char *request = NULL;
    FREE_AUTO char *certificate = NULL;
    CertificateHost host;
    must(certificate_request_text(agent->key, &request, &error), &error);
    AuthorityRequest asked = {
        .pem = request, .size = strlen(request), .host = agent->name, .valid_ms = YEAR_MS / 4};
    must(authority_sign_host(authority, &asked, now_ms, &certificate, &host, &error), &error);
    must(certificate_parse(certificate, strlen(certificate), &agent->certificate, &error), &error);
    return joined_event(&host, now_ms);
}

static void write_events(Journal *journal, json_t **events, size_t *count) {
    Error error = {0};
    must(journal_append(journal, events, *count, &error), &error);
    for (size_t i = 0; i < *count; i++) json_decref(events[i]);
    *count = 0;
}

void swarm_make(Swarm *swarm, const char *state, size_t joined, size_t strangers) {
    int64_t now_ms = clock_wall_ms(clock_system());
    AUTHORITY_AUTO authority = open_authority(state, now_ms);
    FREE_AUTO char *path = file_join(state, "journal.sqlite");
    JOURNAL_AUTO journal = NULL;
    json_t *events[BATCH];
    size_t waiting = 0;
    Error error = {0};
    must(journal_sqlite_open(path, &journal, &error), &error);
    swarm->count = joined + strangers;
    swarm->agents = calloc(swarm->count + 1, sizeof *swarm->agents);
    if (!swarm->agents) abort();
    for (size_t i = 0; i < swarm->count; i++) {
        Agent *agent = &swarm->agents[i];
        snprintf(agent->name, sizeof agent->name, "swarm-%05zu", i + 1);
        agent->fd = -1;
        must(certificate_key_new(&agent->key, &error), &error);
        if (i < joined) events[waiting++] = make_host(authority, agent, now_ms);
        if (waiting == BATCH) write_events(journal, events, &waiting);
    }
    write_events(journal, events, &waiting);
}
