/* Telling: every event of the journal, in its order, each once, whoever wrote it — engines in threads of
 * their own, requests, other programs. A thread reads them from the journal itself; whoever writes only wakes
 * it. */
#include "base/log.h"
#include "journal/journal_sqlite.h"
#include "server/fleet_room.h"
#include <stdlib.h>
#include <time.h>

enum { LOOK_S = 1 }; /* for what other programs wrote */

static int tell(void *context, int64_t sequence, const json_t *event, Error *error) {
    Fleet *fleet = context;
    (void)error;
    fleet->heard(fleet->heard_context, sequence, event);
    fleet->told = sequence;
    return 0;
}

/* False when it is to end. */
static bool wait_for_news(Fleet *fleet) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LOOK_S;
    pthread_mutex_lock(&fleet->tell_lock);
    while (!fleet->tell_news && !fleet->tell_ends)
        if (pthread_cond_timedwait(&fleet->tell_wake, &fleet->tell_lock, &until) != 0) break;
    fleet->tell_news = false;
    bool goes_on = !fleet->tell_ends;
    pthread_mutex_unlock(&fleet->tell_lock);
    return goes_on;
}

static void *tell_all(void *context) {
    Fleet *fleet = context;
    while (wait_for_news(fleet)) {
        Error error = {0};
        if (journal_read(fleet->tell_journal, fleet->told, NULL, tell, fleet, &error) < 0)
            log_failure(LOG_LEVEL_ERROR, "journal.unreadable", &error, NULL, NULL);
    }
    return NULL;
}

int fleet_listen(Fleet *fleet, FleetEventHeard heard, void *context, Error *error) {
    Digest head;
    if (journal_sqlite_open(fleet->journal_path, &fleet->tell_journal, error) < 0 ||
        journal_head(fleet->tell_journal, &fleet->told, &head, error) < 0)
        return -1;
    fleet->heard = heard;
    fleet->heard_context = context;
    if (pthread_create(&fleet->teller, NULL, tell_all, fleet) != 0) abort();
    return 0;
}

void fleet_tell(Fleet *fleet) {
    pthread_mutex_lock(&fleet->tell_lock);
    fleet->tell_news = true;
    pthread_cond_signal(&fleet->tell_wake);
    pthread_mutex_unlock(&fleet->tell_lock);
}

void fleet_tell_end(Fleet *fleet) {
    pthread_mutex_lock(&fleet->tell_lock);
    fleet->tell_ends = true;
    pthread_cond_signal(&fleet->tell_wake);
    pthread_mutex_unlock(&fleet->tell_lock);
    if (fleet->heard) pthread_join(fleet->teller, NULL);
    fleet->heard = NULL;
    journal_close(fleet->tell_journal);
    fleet->tell_journal = NULL;
}
