/* Catalogue: every change that a journal has, a line each, and those looked at last that have ended.
 *
 * The journal is the truth, whoever writes to it. Opening folds all of it, one change after the other. From
 * then on each new event says whose line is out of date, and only that change is folded on: whoever asks pays
 * for what has happened since somebody asked before, not for all that ever happened.
 *
 * Memory: a line is some hundred bytes. Of folded changes, which hold their plan with all of its hosts, at
 * most CATALOGUE_RECENT are kept, and of those beyond the first no more than CATALOGUE_RECENT_HOSTS together.
 *
 * It reads by a connection and under a lock of its own, so nobody who writes waits for it. Any thread. A
 * line's texts are the catalogue's, and stand until it is closed.
 */
#pragma once
#include "engine/change.h"

typedef struct Catalogue Catalogue;

enum { CATALOGUE_RECENT = 4, CATALOGUE_RECENT_HOSTS = 10000 };

/* `journal_path`: of a journal_sqlite. */
int catalogue_open(const char *journal_path, Catalogue **out, Error *error);
void catalogue_close(Catalogue *catalogue); /* NULL is allowed */

/* Who has changes folded already, those under way: tell() calls catalogue_note() for each, at every listing.
 */
typedef struct CatalogueSource {
    void (*tell)(void *context, Catalogue *catalogue);
    void *context;
} CatalogueSource;
/* Within tell() only. One that is behind the journal for a moment is good enough: it is told again. */
void catalogue_note(Catalogue *catalogue, const Rollout *rollout);

/* All changes, oldest first; the list itself is the arena's. `source`: NULL, or who is asked first. */
int catalogue_list(Catalogue *catalogue, const CatalogueSource *source, Arena *arena, ChangeList *out,
                   Error *error);
/* ERROR_INVALID when there is no such change. */
int catalogue_check(Catalogue *catalogue, const char *change, Error *error);

/* Do something with a change as the journal has it, while nobody changes it. ERROR_INVALID when there is
 * none. */
typedef int (*CatalogueLook)(void *context, const Rollout *rollout, Error *error);
int catalogue_look(Catalogue *catalogue, const char *change, CatalogueLook look, void *context, Error *error);
