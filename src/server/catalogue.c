#include "server/catalogue.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/text_map.h"
#include "journal/journal_sqlite.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct Line {
    const char *change;
    ChangeSummary summary; /* its texts are the catalogue's, but `ended` */
    char ended[CLOCK_TEXT_SIZE];
    int64_t last;   /* sequence of the change's last event */
    int64_t folded; /* and of the last one that the summary knows; 0: it says nothing yet */
    bool noted;     /* in this listing: whoever is at it knows best */
} Line;

typedef struct Recent {
    Arena *arena;
    Rollout *rollout; /* in it */
} Recent;

struct Catalogue {
    pthread_mutex_t lock; /* of everything */
    Journal *journal;
    int64_t sequence; /* of the last event that was seen */
    Arena *arena;     /* lines and their texts */
    TextMap *by_change;
    Line **lines;
    size_t count, capacity;
    Recent recent[CATALOGUE_RECENT]; /* the last one looked at first */
    size_t recent_count;
};

/* ---- lines */

static Line *add_line(Catalogue *catalogue, const char *change) {
    if (catalogue->count == catalogue->capacity) {
        catalogue->capacity = catalogue->capacity ? catalogue->capacity * 2 : 64;
        catalogue->lines = reallocarray(catalogue->lines, catalogue->capacity, sizeof *catalogue->lines);
        if (!catalogue->lines) abort();
    }
    Line *line = ARENA_NEW(catalogue->arena, Line);
    line->change = arena_strdup(catalogue->arena, change);
    text_map_put(catalogue->by_change, line->change, line);
    return catalogue->lines[catalogue->count++] = line;
}

/* Only the first event of a change is looked into: that there is one which opens it. */
static int see_row(void *context, const JournalRow *row, Error *error) {
    Catalogue *catalogue = context;
    catalogue->sequence = row->sequence;
    if (!*row->change) return 0;
    Line *line = text_map_find(catalogue->by_change, row->change);
    if (!line) {
        JSON_AUTO event = NULL;
        if (json_parse(row->text, row->size, "journal event", &event, error) < 0) return -1;
        if (!change_is_opened_by(event)) return 0;
        line = add_line(catalogue, row->change);
    }
    line->last = row->sequence;
    return 0;
}

static int catch_up(Catalogue *catalogue, Error *error) {
    return journal_rows(catalogue->journal, catalogue->sequence, NULL, see_row, catalogue, error);
}

/* What a change is called does not change, so it is copied once. */
static void write_line(Catalogue *catalogue, Line *line, const Rollout *rollout) {
    ChangeSummary now = change_summarise(rollout), *kept = &line->summary;
    if (line->folded == 0) {
        *kept = now;
        kept->id = line->change;
        kept->service = arena_strdup(catalogue->arena, now.service);
        kept->version = arena_strdup(catalogue->arena, now.version);
        kept->title = arena_strdup(catalogue->arena, now.title);
        kept->environment = arena_strdup(catalogue->arena, now.environment);
        kept->opened = arena_strdup(catalogue->arena, now.opened);
        kept->plan_digest = arena_strdup(catalogue->arena, now.plan_digest);
    }
    kept->state = now.state;
    kept->outcome = now.outcome;
    kept->held = now.held;
    kept->ended = NULL; /* the line's own place, told by a copy in the list */
    snprintf(line->ended, sizeof line->ended, "%s", now.ended ? now.ended : "");
    line->folded = rollout->sequence;
}

void catalogue_note(Catalogue *catalogue, const Rollout *rollout) {
    Line *line = text_map_find(catalogue->by_change, rollout->change);
    if (!line) return;
    write_line(catalogue, line, rollout);
    line->noted = true;
}

/* ---- folded changes */

static void forget_beyond(Catalogue *catalogue, size_t count) {
    while (catalogue->recent_count > count) arena_free(catalogue->recent[--catalogue->recent_count].arena);
}

/* In front, and whoever was there one place further back. */
static void put_first(Catalogue *catalogue, size_t from, Recent recent) {
    memmove(catalogue->recent + 1, catalogue->recent, from * sizeof recent);
    catalogue->recent[0] = recent;
    size_t kept = 1, hosts = 0;
    while (kept < catalogue->recent_count &&
           (hosts += catalogue->recent[kept].rollout->host_count) <= CATALOGUE_RECENT_HOSTS)
        kept++;
    forget_beyond(catalogue, kept);
}

static int load(Catalogue *catalogue, const char *change, Error *error) {
    Recent recent = {.arena = arena_new()};
    if (change_load(catalogue->journal, recent.arena, change, &recent.rollout, error) < 0) {
        arena_free(recent.arena);
        return -1;
    }
    forget_beyond(catalogue, CATALOGUE_RECENT - 1);
    put_first(catalogue, catalogue->recent_count++, recent);
    return 0;
}

static int fold_on(void *context, int64_t sequence, const json_t *event, Error *error) {
    return rollout_fold(context, sequence, event, error);
}

/* The change as the journal has it now, first among those kept. */
static const Rollout *bring(Catalogue *catalogue, const char *change, Error *error) {
    size_t i = 0;
    while (i < catalogue->recent_count && strcmp(catalogue->recent[i].rollout->change, change) != 0) i++;
    if (i < catalogue->recent_count)
        put_first(catalogue, i, catalogue->recent[i]);
    else if (load(catalogue, change, error) < 0)
        return NULL;
    Rollout *rollout = catalogue->recent[0].rollout;
    if (journal_read(catalogue->journal, rollout->sequence, change, fold_on, rollout, error) == 0)
        return rollout;
    forget_beyond(catalogue, 0); /* it is half folded */
    return NULL;
}

static int bring_up_to_date(Catalogue *catalogue, Error *error) {
    for (size_t i = 0; i < catalogue->count; i++) {
        Line *line = catalogue->lines[i];
        if (line->noted || line->folded >= line->last) continue;
        const Rollout *rollout = bring(catalogue, line->change, error);
        if (!rollout) return -1;
        write_line(catalogue, line, rollout);
    }
    return 0;
}

/* ---- open and close */

int catalogue_open(const char *journal_path, Catalogue **out, Error *error) {
    Catalogue *catalogue = calloc(1, sizeof *catalogue);
    if (!catalogue) abort();
    pthread_mutex_init(&catalogue->lock, NULL);
    catalogue->arena = arena_new();
    catalogue->by_change = text_map_new();
    if (journal_sqlite_open(journal_path, &catalogue->journal, error) < 0 || catch_up(catalogue, error) < 0 ||
        bring_up_to_date(catalogue, error) < 0) {
        catalogue_close(catalogue);
        return -1;
    }
    forget_beyond(catalogue, 0); /* nobody has looked at one yet */
    *out = catalogue;
    return 0;
}

void catalogue_close(Catalogue *catalogue) {
    if (!catalogue) return;
    forget_beyond(catalogue, 0);
    journal_close(catalogue->journal);
    text_map_free(catalogue->by_change);
    arena_free(catalogue->arena);
    free(catalogue->lines);
    pthread_mutex_destroy(&catalogue->lock);
    free(catalogue);
}

/* ---- asking */

static ChangeList copy_lines(const Catalogue *catalogue, Arena *arena) {
    ChangeList list = {ARENA_ARRAY(arena, catalogue->count, ChangeSummary), catalogue->count};
    for (size_t i = 0; i < list.count; i++) {
        const Line *line = catalogue->lines[i];
        list.items[i] = line->summary;
        if (*line->ended) list.items[i].ended = arena_strdup(arena, line->ended);
    }
    return list;
}

static int list(Catalogue *catalogue, const CatalogueSource *source, Error *error) {
    if (catch_up(catalogue, error) < 0) return -1;
    for (size_t i = 0; i < catalogue->count; i++) catalogue->lines[i]->noted = false;
    if (source) source->tell(source->context, catalogue);
    return bring_up_to_date(catalogue, error);
}

int catalogue_list(Catalogue *catalogue, const CatalogueSource *source, Arena *arena, ChangeList *out,
                   Error *error) {
    pthread_mutex_lock(&catalogue->lock);
    int result = list(catalogue, source, error);
    if (result == 0) *out = copy_lines(catalogue, arena);
    pthread_mutex_unlock(&catalogue->lock);
    return result;
}

int catalogue_check(Catalogue *catalogue, const char *change, Error *error) {
    pthread_mutex_lock(&catalogue->lock);
    int result = catch_up(catalogue, error);
    if (result == 0 && !text_map_find(catalogue->by_change, change)) result = change_unknown(change, error);
    pthread_mutex_unlock(&catalogue->lock);
    return result;
}

int catalogue_look(Catalogue *catalogue, const char *change, CatalogueLook look, void *context,
                   Error *error) {
    pthread_mutex_lock(&catalogue->lock);
    const Rollout *rollout = bring(catalogue, change, error);
    int result = rollout ? look(context, rollout, error) : -1;
    pthread_mutex_unlock(&catalogue->lock);
    return result;
}
