#include "host/ledger.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/reserve.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define LEDGER_FILE   "ledger.json"
#define ACCEPTED_FILE "ledger-accepted.json"
#define LIVE_FILE     "ledger-live.json"
enum { FORMAT = 1, SIZE_MAX_BYTES = 1024 * 1024 };

/* What stands in the document under which key. */
static const struct {
    const char *key;
    size_t offset;
} texts[] =
    {
        {"change", offsetof(Ledger, change)},
        {"old_version", offsetof(Ledger, old_version)},
        {"new_version", offsetof(Ledger, new_version)},
        {"prepare_point", offsetof(Ledger, prepare_point)},
        {"final_point", offsetof(Ledger, final_point)},
        {"prepare_digest", offsetof(Ledger, prepare_digest)},
        {"final_digest", offsetof(Ledger, final_digest)},
        {"aside_point", offsetof(Ledger, aside_point)},
        {"store", offsetof(Ledger, store)},
        {"step", offsetof(Ledger, step)},
},
  flags[] = {
      {"staged", offsetof(Ledger, staged)},           {"was_running", offsetof(Ledger, was_running)},
      {"stopped", offsetof(Ledger, stopped)},         {"activated", offsetof(Ledger, activated)},
      {"started", offsetof(Ledger, started)},         {"switched", offsetof(Ledger, switched)},
      {"confirmed", offsetof(Ledger, confirmed)},     {"committed", offsetof(Ledger, committed)},
      {"rolled_back", offsetof(Ledger, rolled_back)}, {"by_itself", offsetof(Ledger, by_itself)},
      {"order_open", offsetof(Ledger, order_open)},   {"drained", offsetof(Ledger, drained)},
      {"admitted", offsetof(Ledger, admitted)},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int read_document(Ledger *ledger, const json_t *document, Error *error) {
    if (json_get_integer(document, "format", 0) != FORMAT)
        return error_set(error, ERROR_ATTENTION, "it is of another format");
    for (size_t i = 0; i < COUNT(texts); i++)
        *(const char **)((char *)ledger + texts[i].offset) =
            arena_strdup(ledger->arena, json_get_text(document, texts[i].key, NULL));
    for (size_t i = 0; i < COUNT(flags); i++)
        *(bool *)((char *)ledger + flags[i].offset) = json_get_bool(document, flags[i].key, false);
    ledger->confirm_by_ms = json_get_integer(document, "confirm_by_ms", 0);
    ledger->confirm_given_ms = json_get_integer(document, "confirm_given_ms", 0);
    const char *id = json_get_text(document, "order_id", "");
    if (strlen(id) >= ORDER_ID_SIZE) return error_set(error, ERROR_ATTENTION, "its order has no valid id");
    memcpy(ledger->order.id, id, strlen(id) + 1);
    order_kind_from_text(json_get_text(document, "order", NULL), &ledger->order.kind);
    ledger->order.restore_data = json_get_bool(document, "restore_data", false);
    json_t *steps = json_object_get(document, "steps"), *answers = json_object_get(document, "answers");
    json_t *unheard = json_object_get(document, "unheard");
    size_t index;
    json_t *step;
    json_array_foreach(steps, index, step) if (!json_is_string(step)) return error_set(
        error, ERROR_ATTENTION, "it is of another format");
    if (steps) json_array_extend(ledger->steps, steps);
    if (answers) json_object_update(ledger->answers, answers);
    if (unheard) json_array_extend(ledger->unheard, unheard);
    return 0;
}

static int load(Arena *arena, int dir, const char *name, Ledger *out, Error *error) {
    Ledger ledger = {.arena = arena,
                     .dir = dir,
                     .file = LEDGER_FILE,
                     .steps = json_array(),
                     .answers = json_object(),
                     .unheard = json_array()};
    BUFFER_AUTO text = {0};
    JSON_AUTO document = NULL;
    Error reading = {0};
    int result = file_read(dir, name, SIZE_MAX_BYTES, &text, &reading);
    if (result == 0) {
        result = json_parse(buffer_text(&text), text.size, name, &document, error);
        if (result == 0) result = read_document(&ledger, document, error);
    } else if (reading.number == ENOENT) {
        result = 0;
    } else if (error) {
        *error = reading;
    }
    if (result < 0) {
        ledger_free(&ledger);
        return error_prefix(error, "cannot read this host's ledger");
    }
    *out = ledger;
    return 0;
}

int ledger_load(Arena *arena, int dir, Ledger *out, Error *error) {
    return load(arena, dir, LEDGER_FILE, out, error);
}

int ledger_load_accepted(Arena *arena, int dir, Ledger *out, Error *error) {
    return load(arena, dir, ACCEPTED_FILE, out, error);
}

int ledger_load_live(Arena *arena, int dir, Ledger *out, Error *error) {
    if (load(arena, dir, LIVE_FILE, out, error) < 0) return -1;
    out->file = LIVE_FILE;
    return 0;
}

void ledger_free(Ledger *ledger) {
    json_decref(ledger->steps);
    json_decref(ledger->answers);
    json_decref(ledger->unheard);
    ledger->steps = ledger->answers = ledger->unheard = NULL;
}

static char *text_of(const Ledger *ledger) {
    JSON_AUTO document = json_object();
    json_set_integer(document, "format", FORMAT);
    for (size_t i = 0; i < COUNT(texts); i++)
        json_set_text(document, texts[i].key, *(const char *const *)((const char *)ledger + texts[i].offset));
    for (size_t i = 0; i < COUNT(flags); i++)
        json_set_bool(document, flags[i].key, *(const bool *)((const char *)ledger + flags[i].offset));
    json_set_integer(document, "confirm_by_ms", ledger->confirm_by_ms);
    json_set_integer(document, "confirm_given_ms", ledger->confirm_given_ms);
    json_set_text(document, "order_id", ledger->order.id);
    json_set_text(document, "order", order_kind_text(ledger->order.kind));
    json_set_bool(document, "restore_data", ledger->order.restore_data);
    json_object_set(document, "steps", ledger->steps);
    json_object_set(document, "answers", ledger->answers);
    json_object_set(document, "unheard", ledger->unheard);
    return json_text(document);
}

int ledger_save(const Ledger *ledger, Error *error) {
    FREE_AUTO char *text = text_of(ledger);
    Error failure = {0};
    int result = file_replace(ledger->dir, ledger->file, text, strlen(text), 0600, &failure);
    bool back = ledger->stopped || ledger->drained ||
                ledger->order.kind == ORDER_ROLLBACK; /* what is begun must come to an end */
    if (result < 0 && back && reserve_release(ledger->dir, &failure))
        result = file_replace(ledger->dir, ledger->file, text, strlen(text), 0600, &failure);
    if (result == 0) return 0;
    if (error) *error = failure;
    return error_prefix(error, "cannot write this host's ledger");
}

int ledger_keep_accepted(const Ledger *ledger, Error *error) {
    FREE_AUTO char *text = text_of(ledger);
    if (file_replace(ledger->dir, ACCEPTED_FILE, text, strlen(text), 0600, error) == 0) return 0;
    return error_prefix(error, "cannot keep this host's ledger");
}

int ledger_tidy(int dir, Error *error) {
    if (file_replace_tidy(dir, ACCEPTED_FILE, error) < 0 || file_replace_tidy(dir, LIVE_FILE, error) < 0)
        return -1;
    return file_replace_tidy(dir, LEDGER_FILE, error);
}

void ledger_begin(Ledger *ledger, const char *change, const char *old_version, const char *new_version) {
    Ledger fresh = {.arena = ledger->arena,
                    .dir = ledger->dir,
                    .file = ledger->file,
                    .steps = json_array(),
                    .answers = json_object(),
                    .unheard = json_array()};
    fresh.change = arena_strdup(ledger->arena, change);
    fresh.old_version = arena_strdup(ledger->arena, old_version);
    fresh.new_version = arena_strdup(ledger->arena, new_version);
    ledger_free(ledger);
    *ledger = fresh;
}

void ledger_begin_again(Ledger *ledger, const char *old_version) {
    json_t *answers = json_incref(ledger->answers);
    ledger_begin(ledger, ledger->change, old_version, ledger->new_version);
    json_decref(ledger->answers);
    ledger->answers = answers;
}

void ledger_take(Ledger *ledger, const Order *order) {
    if (ledger->order_open && strcmp(ledger->order.id, order->id) == 0) return;
    ledger->order = *order;
    ledger->order_open = true;
    ledger->step = NULL;
    json_array_clear(ledger->steps);
}

const json_t *ledger_answer(const Ledger *ledger, const char *id) {
    return json_object_get(ledger->answers, id);
}

void ledger_close(Ledger *ledger, const Error *failure) {
    json_t *answer = json_object();
    json_set_bool(answer, "done", failure == NULL);
    if (failure) {
        json_set_text(answer, "error", failure->en);
        json_set_text(answer, "error_zh", failure->zh);
        json_set_integer(answer, "kind", failure->kind);
    }
    json_object_set_new(ledger->answers, ledger->order.id, answer);
    ledger->order_open = false;
    ledger->step = NULL;
}

bool ledger_has_done(const Ledger *ledger) {
    const char *id;
    json_t *answer;
    json_object_foreach(ledger->answers, id, answer) if (json_get_bool(answer, "done", false)) return true;
    return false;
}

bool ledger_step_done(const Ledger *ledger, const char *step) {
    size_t index;
    json_t *name;
    json_array_foreach(ledger->steps, index,
                       name) if (strcmp(json_string_value(name), step) == 0) return true;
    return false;
}

void ledger_step_mark(Ledger *ledger, const char *step) {
    json_array_append_new(ledger->steps, json_string(step));
}

void ledger_step_unmark(Ledger *ledger, const char *step) {
    for (size_t i = json_array_size(ledger->steps); i-- > 0;)
        if (strcmp(json_string_value(json_array_get(ledger->steps, i)), step) == 0)
            json_array_remove(ledger->steps, i);
}
