/* FleetRoom: what the files of the fleet share. Private to server/fleet*.c.
 *
 * Locks, in the order in which they may be taken: opening_lock → (the catalogue's own) → courses_lock → (a
 * course's own) → write_lock → hosts_lock; read_lock is for itself. An engine's thread that wakes a host
 * holds none of them.
 */
#pragma once
#include "base/throttle.h"
#include "server/catalogue.h"
#include "server/fleet.h"
#include "server/parking.h"
#include <pthread.h>

struct Fleet {
    char *state, *journal_path;
    Clock *clock;
    int64_t first_change;
    Depot *depot;
    Parking *parking;
    TaskBoard *tasks;
    pthread_rwlock_t server_lock;
    Server *server; /* NULL: nobody can be woken */

    pthread_mutex_t write_lock; /* of the journal, and of what was folded of it */
    Journal *journal;
    int64_t sequence; /* of the last event that was folded here */

    pthread_mutex_t read_lock; /* of this one, for whatever reads long: nobody who writes waits for it */
    Journal *read_journal;
    Catalogue *catalogue;

    pthread_rwlock_t hosts_lock;
    Inventory *inventory;

    Throttle *allowance, *noted; /* of hosts, by name: what they may add unasked, and that they want more */

    pthread_rwlock_t courses_lock; /* of the list: a course that is in use stays in it */
    Course *courses[FLEET_COURSES_MAX];
    size_t course_count;

    pthread_mutex_t opening_lock; /* held while a change is opened or reopened; the first of all */

    FleetEventHeard heard; /* NULL: nobody listens, and there is no teller */
    void *heard_context;
    pthread_t teller;
    Journal *tell_journal; /* these two are the teller's own */
    int64_t told;
    pthread_mutex_t tell_lock; /* of what follows; the last of all */
    pthread_cond_t tell_wake;
    bool tell_news, tell_ends;
};

/* The course of a change, with the list held for reading until fleet_course_end(); NULL: it has none. */
Course *fleet_course(Fleet *fleet, const char *change);
void fleet_course_end(Fleet *fleet);
/* The same; made when the change has none. NULL and an error otherwise. */
Course *fleet_need_course(Fleet *fleet, const char *change, Error *error);
/* Is there room for one more? With the opening lock held, so that it stays. */
int fleet_make_room(Fleet *fleet, Error *error);

/* Answer a parked request, if it is there yet. */
void fleet_answer(Fleet *fleet, ServerTicket ticket, const json_t *json);

/* There is news for the host: answer its parked poll, if it has one. With none of the locks held. */
void fleet_wake(Fleet *fleet, const char *host);

/* Something was written: whoever listens shall hear of it. */
void fleet_tell(Fleet *fleet);
void fleet_tell_end(Fleet *fleet);

/* May the host have this event written, which it brings unasked? ERROR_REFUSED and EDQUOT in error->number
 * when it has brought too much: that stands in the journal then, once an hour. Without the write lock. */
int fleet_allow(Fleet *fleet, const char *host, const json_t *event, Error *error);
void fleet_allowance_open(Fleet *fleet);
void fleet_allowance_close(Fleet *fleet);

/* Fold what has been written since, by whomever; with the write lock held. */
int fleet_catch_up(Fleet *fleet, Error *error);
