/* swarm STATE JOINED STRANGERS: the agents of a fleet, driven by commands on standard input, a line each:
 *
 *   connect PORT COUNT PARALLEL   so many of them shall be connected, with so many handshakes at once
 *   wait MS                       from now on each asks for work, waiting so long; -1: they stop asking
 *   answer 0|1                    orders are carried out, at once; or only taken
 *   tokens FILE                   join tokens of the strangers, a line each, in their order: they join when
 * connected clear                         counts begin anew status                        one line of JSON:
 * what happened, in seconds of the monotonic clock
 *
 * What it makes in STATE (an authority, a journal) is for a controller that has not started yet. The first
 * line it says is {"made": …}. It ends with its standard input. */
#include "swarm.h"
#include "base/cleanup.h"
#include "base/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { TURN_MS = 100, LINE_MAX_BYTES = 4096 };

double swarm_now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void swarm_die(const char *what) {
    perror(what);
    exit(1);
}

static void say(json_t *json) {
    FREE_AUTO char *text = json_text(json);
    puts(text);
    fflush(stdout);
    json_decref(json);
}

/* ---- counts */

static int compare(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static json_t *latencies(const Swarm *swarm) {
    size_t count = swarm->polls.count < SWARM_LATENCIES ? swarm->polls.count : SWARM_LATENCIES;
    double *sorted = calloc(count + 1, sizeof *sorted);
    if (!sorted) abort();
    memcpy(sorted, swarm->latencies_s, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare);
    json_t *json =
        json_pack("[f, f, f]", sorted[count / 2], sorted[count * 99 / 100], sorted[count ? count - 1 : 0]);
    free(sorted);
    return json;
}

static json_t *span_json(const Span *span) {
    return json_pack("{s:I, s:f, s:f}", "count", (json_int_t)span->count, "first", span->first_s, "last",
                     span->last_s);
}

static void say_status(const Swarm *swarm) {
    json_t *status = json_object(), *orders = json_object();
    for (int i = 0; i < ORDER_KINDS; i++)
        json_object_set_new(orders, order_kind_text((OrderKind)i), span_json(&swarm->orders[i]));
    json_object_set_new(status, "orders", orders);
    json_object_set_new(status, "shaken", span_json(&swarm->shaken));
    json_object_set_new(status, "polls", span_json(&swarm->polls));
    json_object_set_new(status, "reports", span_json(&swarm->reports));
    json_object_set_new(status, "joins", span_json(&swarm->joins));
    json_object_set_new(status, "latencies", latencies(swarm)); /* of polls: median, 99 %, worst */
    json_set_integer(status, "idle", (json_int_t)swarm->idle);
    json_set_integer(status, "asking", (json_int_t)swarm->asking);
    json_set_integer(status, "lost", (json_int_t)swarm->lost);
    json_object_set_new(status, "now", json_real(swarm_now_s()));
    say(status);
}

static void clear(Swarm *swarm) {
    swarm->shaken = swarm->polls = swarm->reports = swarm->joins = (Span){0};
    memset(swarm->orders, 0, sizeof swarm->orders);
}

/* ---- commands */

static void take_tokens(Swarm *swarm, const char *path) {
    char line[LINE_MAX_BYTES];
    FILE *file = fopen(path, "re");
    if (!file) swarm_die(path);
    for (size_t i = 0; i < swarm->count; i++) {
        Agent *agent = &swarm->agents[i];
        if (agent->certificate) continue;
        if (!fgets(line, sizeof line, file)) break;
        line[strcspn(line, "\n")] = '\0';
        agent->token = strdup(line);
    }
    fclose(file);
}

static void obey(Swarm *swarm, char *line) {
    int port, answer;
    size_t count, parallel;
    long wait_ms;
    line[strcspn(line, "\n")] = '\0';
    if (sscanf(line, "connect %d %zu %zu", &port, &count, &parallel) == 3)
        swarm_connect(swarm, port, count, parallel);
    else if (sscanf(line, "wait %ld", &wait_ms) == 1)
        swarm->wait_ms = wait_ms;
    else if (sscanf(line, "answer %d", &answer) == 1)
        swarm->answering = answer;
    else if (strncmp(line, "tokens ", 7) == 0)
        take_tokens(swarm, line + 7);
    else if (strcmp(line, "clear") == 0)
        clear(swarm);
    else if (strcmp(line, "status") == 0)
        say_status(swarm);
    else
        swarm_die(line);
    swarm_go_on(swarm);
}

/* Commands come by the same epoll, with NULL for an agent. False at their end. */
static bool read_commands(Swarm *swarm) {
    static char pending[LINE_MAX_BYTES];
    static size_t size;
    ssize_t got = read(STDIN_FILENO, pending + size, sizeof pending - 1 - size);
    if (got <= 0) return false;
    size += (size_t)got;
    pending[size] = '\0';
    for (char *end; (end = strchr(pending, '\n')) != NULL;) {
        char line[LINE_MAX_BYTES];
        size_t length = (size_t)(end - pending) + 1;
        memcpy(line, pending, length);
        line[length] = '\0';
        memmove(pending, end + 1, size - length + 1);
        size -= length;
        obey(swarm, line);
    }
    return true;
}

static bool has_command(void) {
    fd_set readable;
    struct timeval now = {0};
    FD_ZERO(&readable);
    FD_SET(STDIN_FILENO, &readable);
    return select(STDIN_FILENO + 1, &readable, NULL, NULL, &now) > 0;
}

static void raise_limit(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

int main(int count, char **words) {
    Swarm swarm = {0};
    if (count != 4) {
        fputs("usage: swarm STATE JOINED STRANGERS\n", stderr);
        return 2;
    }
    raise_limit();
    swarm_open(&swarm);
    double begun_s = swarm_now_s();
    swarm_make(&swarm, words[1], strtoul(words[2], NULL, 10), strtoul(words[3], NULL, 10));
    say(json_pack("{s:I, s:f}", "made", (json_int_t)swarm.count, "seconds", swarm_now_s() - begun_s));
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(swarm.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0)
        swarm_die("standard input must be a pipe");
    while (!has_command() || read_commands(&swarm)) swarm_turn(&swarm, TURN_MS);
    return 0;
}
