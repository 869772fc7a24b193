#include "server/task_board.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/random.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { RESULT_DEPTH_MAX = 12 };

typedef enum State { FREE, RESERVED, WAITING, OFFERED, RUNNING, DONE, FAILED } State;
static const char *const states[] = {"free", "waiting", "waiting", "waiting", "running", "done", "failed"};

typedef struct Place {
    char id[TASK_ID_SIZE];
    char *host;
    json_t *task;
    char *said;   /* the last word as text: as a tree it would be many times its size. NULL: none */
    bool changes; /* the host */
    bool lost;    /* it was given up, and may have been done all the same */
    State state;
    int64_t revision, asked_ms, word_ms; /* steady: the last that was heard of it */
    ServerTicket ticket;
} Place;

struct TaskBoard {
    pthread_mutex_t lock;
    Clock *clock;
    size_t used; /* most polls find nothing, and look no further than here */
    Place places[TASK_BOARD_PLACES];
};

TaskBoard *task_board_new(Clock *clock) {
    TaskBoard *board = calloc(1, sizeof *board);
    if (!board) abort();
    board->clock = clock;
    pthread_mutex_init(&board->lock, NULL);
    return board;
}

static void clear(TaskBoard *board, Place *place) {
    if (place->state == FREE) return;
    free(place->host);
    json_decref(place->task);
    free(place->said);
    *place = (Place){.state = FREE};
    board->used--;
}

void task_board_free(TaskBoard *board) {
    if (!board) return;
    for (size_t i = 0; i < TASK_BOARD_PLACES; i++) clear(board, &board->places[i]);
    pthread_mutex_destroy(&board->lock);
    free(board);
}

/* ---- places */

static bool is_over(const Place *place) { return place->state == DONE || place->state == FAILED; }
static bool is_open(const Place *place) {
    return place->state == WAITING || place->state == OFFERED || place->state == RUNNING;
}
static bool is_of(const Place *place, const char *host) {
    return place->state != FREE && strcmp(place->host, host) == 0;
}

static void keep_word(Place *place, State state, const json_t *word, int64_t now_ms) {
    free(place->said);
    place->said = json_text(word);
    place->state = state;
    place->lost = false;
    place->revision++;
    place->word_ms = now_ms;
}

static void fail(Place *place, const Error *error, int64_t now_ms) {
    JSON_AUTO word = json_object();
    json_set_error(word, error);
    bool lost = place->state == OFFERED || place->state == RUNNING;
    keep_word(place, FAILED, word, now_ms);
    place->lost = lost;
}

/* Nobody came for it: then nobody ever does, and whoever asks hears so. */
static void give_up(Place *place, int64_t now_ms) {
    Error error = {0};
    bool offered = place->state == OFFERED;
    if ((!offered && place->state != WAITING) || now_ms - place->asked_ms < TASK_BOARD_WAIT_MS) return;
    if (offered)
        error_set(&error, ERROR_ATTENTION, "%s has not said that it has it: nobody knows whether it is done",
                  place->host);
    else
        error_set(&error, ERROR_REFUSED, "%s did not come for it within %d s: nothing was done", place->host,
                  TASK_BOARD_WAIT_MS / 1000);
    error_hint(&error, "is its agent running? “upkeep hosts” says when it was heard last");
    fail(place, &error, now_ms);
}

/* Time goes by. */
static void tick(TaskBoard *board, Place *place, int64_t now_ms) {
    give_up(place, now_ms);
    if (is_over(place) && now_ms - place->word_ms >= TASK_BOARD_KEEP_MS) clear(board, place);
}

/* How willingly it gives way: free places first; 0: not at all. */
static int worth_of(const Place *place, int64_t now_ms) {
    if (place->state == FREE) return 3;
    if (is_over(place)) return 2;
    return now_ms - place->word_ms >= TASK_BOARD_SILENT_MS ? 1 : 0;
}

static Place *choose_place(TaskBoard *board, int64_t now_ms) {
    Place *best = NULL;
    int best_worth = 0;
    for (size_t i = 0; i < TASK_BOARD_PLACES; i++) {
        Place *place = &board->places[i];
        tick(board, place, now_ms);
        int worth = worth_of(place, now_ms);
        bool better = worth > best_worth || (worth == best_worth && best && place->word_ms < best->word_ms);
        if (worth == 0 || !better) continue;
        best = place;
        best_worth = worth;
    }
    return best;
}

static size_t count_open(const TaskBoard *board, const char *host, int64_t now_ms) {
    size_t count = 0;
    for (size_t i = 0; i < TASK_BOARD_PLACES; i++) {
        const Place *place = &board->places[i];
        bool silent = now_ms - place->word_ms >= TASK_BOARD_SILENT_MS;
        count += is_of(place, host) && !is_over(place) && !silent;
    }
    return count;
}

static Place *find(TaskBoard *board, const char *host, const char *id) {
    for (size_t i = 0; i < TASK_BOARD_PLACES; i++) {
        Place *place = &board->places[i];
        if (place->state != FREE && strcmp(place->id, id) == 0)
            return host && !is_of(place, host) ? NULL : place;
    }
    return NULL;
}

/* ---- asking */

static int add(TaskBoard *board, const char *host, const json_t *task, Error *error) {
    int64_t now_ms = clock_steady_ms(board->clock);
    Place *place = choose_place(board, now_ms);
    if (!place)
        return error_set(error, ERROR_REFUSED, "too many hosts are being asked just now; wait a moment");
    if (count_open(board, host, now_ms) >= TASK_BOARD_HOST_MAX) {
        error_set(error, ERROR_REFUSED, "%s has been asked for too much already", host);
        return error_hint(error, "wait until it has answered, then ask again");
    }
    Task read;
    if (task_from_json(task, &read, error) < 0) return -1;
    clear(board, place);
    *place = (Place){.host = strdup(host),
                     .task = json_deep_copy(task),
                     .changes = task_changes(&read),
                     .state = RESERVED,
                     .revision = 1,
                     .asked_ms = now_ms,
                     .word_ms = now_ms};
    if (!place->host || !place->task) abort();
    random_name(place->id, sizeof place->id);
    board->used++;
    return (int)(place - board->places);
}

int task_board_add(TaskBoard *board, const char *host, const json_t *task, char id[static TASK_ID_SIZE],
                   Error *error) {
    pthread_mutex_lock(&board->lock);
    int number = add(board, host, task, error);
    if (number >= 0) memcpy(id, board->places[number].id, TASK_ID_SIZE);
    pthread_mutex_unlock(&board->lock);
    return number < 0 ? -1 : 0;
}

void task_board_open(TaskBoard *board, const char *id) {
    pthread_mutex_lock(&board->lock);
    Place *place = find(board, NULL, id);
    if (place) place->state = WAITING;
    pthread_mutex_unlock(&board->lock);
}

void task_board_remove(TaskBoard *board, const char *id) {
    pthread_mutex_lock(&board->lock);
    Place *place = find(board, NULL, id);
    if (place) clear(board, place);
    pthread_mutex_unlock(&board->lock);
}

/* ---- the host */

static json_t *offer(TaskBoard *board, const char *host) {
    json_t *list = NULL;
    int64_t now_ms = clock_steady_ms(board->clock);
    for (size_t i = 0; i < TASK_BOARD_PLACES; i++) {
        Place *place = &board->places[i];
        if (!is_of(place, host)) continue;
        tick(board, place, now_ms);
        if (!is_open(place)) continue;
        if (place->state == WAITING) place->state = OFFERED;
        json_t *item = json_object();
        json_set_text(item, "id", place->id);
        json_object_set(item, "task", place->task);
        if (!list) list = json_array();
        json_array_append_new(list, item);
    }
    return list;
}

json_t *task_board_offer(TaskBoard *board, const char *host) {
    pthread_mutex_lock(&board->lock);
    json_t *list = board->used ? offer(board, host) : NULL;
    pthread_mutex_unlock(&board->lock);
    return list;
}

void task_board_arrived(TaskBoard *board, const char *host) {
    pthread_mutex_lock(&board->lock);
    for (size_t i = 0; i < TASK_BOARD_PLACES && board->used; i++) {
        Place *place = &board->places[i];
        if (place->state == OFFERED && is_of(place, host)) place->state = RUNNING;
    }
    pthread_mutex_unlock(&board->lock);
}

void task_board_drop(TaskBoard *board, const char *host) {
    Error error = {0};
    error_set(&error, ERROR_REFUSED, "the host %s is not of this fleet any more", host);
    pthread_mutex_lock(&board->lock);
    for (size_t i = 0; i < TASK_BOARD_PLACES; i++) {
        Place *place = &board->places[i];
        if (is_of(place, host) && is_open(place)) fail(place, &error, clock_steady_ms(board->clock));
    }
    pthread_mutex_unlock(&board->lock);
}

static State state_of(const json_t *word) {
    const char *text = json_get_text(word, "state", "");
    for (size_t state = RUNNING; state <= FAILED; state++) /* these a host may say */
        if (strcmp(text, states[state]) == 0) return (State)state;
    return FREE;
}

int task_board_check(json_t *word, bool *is_last, Error *error) {
    State state = state_of(word);
    bool good = (state == RUNNING && json_is_integer(json_object_get(word, "done"))) ||
                (state == DONE && json_is_object(json_object_get(word, "result"))) ||
                (state == FAILED && json_is_string(json_object_get(word, "error")));
    *is_last = state != RUNNING;
    if (good && json_dumpb(word, NULL, 0, JSON_COMPACT) <= TASK_BOARD_WORD_MAX &&
        json_disarm(word, RESULT_DEPTH_MAX) == 0)
        return 0;
    return error_set(error, ERROR_INVALID, "that is no word about a task");
}

bool task_board_expects(TaskBoard *board, const char *host, const char *id) {
    pthread_mutex_lock(&board->lock);
    const Place *place = find(board, host, id);
    bool expects = place && (is_open(place) || place->lost) && place->changes;
    pthread_mutex_unlock(&board->lock);
    return expects;
}

/* Of how far it is, two numbers are kept. */
static void take_word(Place *place, const json_t *word, int64_t now_ms) {
    JSON_AUTO brief = json_object();
    State state = state_of(word);
    json_set_integer(brief, "done", json_get_integer(word, "done", 0));
    json_set_integer(brief, "total", json_get_integer(word, "total", 0));
    keep_word(place, state, state == RUNNING ? brief : word, now_ms);
}

int task_board_tell(TaskBoard *board, const char *host, const char *id, json_t *word, ServerTicket *ticket,
                    Error *error) {
    *ticket = 0;
    pthread_mutex_lock(&board->lock);
    Place *place = find(board, host, id);
    if (place && (is_open(place) || (place->lost && state_of(word) != RUNNING))) {
        take_word(place, word, clock_steady_ms(board->clock));
        *ticket = place->ticket;
        place->ticket = 0;
    }
    pthread_mutex_unlock(&board->lock);
    json_decref(word);
    if (place) return 0;
    error_set(error, ERROR_INVALID, "nobody waits for an answer of that name");
    if (error) error->number = ENOENT;
    return -1;
}

/* ---- who has asked */

static json_t *describe(const Place *place) {
    json_t *json = place->said ? json_loads(place->said, 0, NULL) : json_object();
    if (!json) abort(); /* it is our own text */
    json_set_text(json, "task", place->id);
    json_set_text(json, "host", place->host);
    json_set_text(json, "state", states[place->state]);
    json_set_integer(json, "revision", place->revision);
    return json;
}

json_t *task_board_look(TaskBoard *board, const char *host, const char *id) {
    pthread_mutex_lock(&board->lock);
    Place *place = find(board, host, id);
    if (place) give_up(place, clock_steady_ms(board->clock)); /* but whoever asks gets an answer */
    json_t *json = place ? describe(place) : NULL;
    pthread_mutex_unlock(&board->lock);
    return json;
}

void task_board_park(TaskBoard *board, const char *host, const char *id, ServerTicket ticket) {
    pthread_mutex_lock(&board->lock);
    Place *place = find(board, host, id);
    if (place) place->ticket = ticket;
    pthread_mutex_unlock(&board->lock);
}
