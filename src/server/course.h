/* Course: one change being carried out by a controller — an engine in a thread of its own, the boxes of its
 * hosts, and a view of where it stands for everybody who asks.
 *
 *   opened ── course_go ──▶ an engine runs, also while it waits for a person ──▶ ended ── course_go ──▶ …
 *
 * The engine's own state is the engine's. Beside it the course folds the same events into a second Rollout,
 * the view, under a lock: handlers of requests look at that and never wait for the engine. Controls of people
 * are appended by whoever has a journal (engine_control); course_go() sees to it that somebody reads them.
 *
 * Calling order: course_open → course_go → … → course_close, which leaves the engine at once as a crash
 * would: hosts go on, and the next engine from the journal. Everything else from any thread meanwhile.
 */
#pragma once
#include "base/clock.h"
#include "base/error.h"
#include "journal/journal.h"
#include "model/rollout.h"

typedef struct Course Course;

/* What a course tells; in the engine's thread, without its locks. */
typedef struct CourseListener {
    void (*wake)(void *context, const char *host); /* there is news for its poll */
    void (*heard)(void *context, const char *change, const char *host, int64_t number);
    void (*event)(void *context, int64_t sequence, const json_t *event); /* as it enters the state */
    void *context;
} CourseListener;

typedef struct CourseSpec {
    const char *journal_path; /* of a journal_sqlite */
    const char *change;
    Clock *clock;
    CourseListener listener;
} CourseSpec;

/* `journal`: the caller's, to read the view from. What `spec` points to is copied, but for the clock. */
int course_open(Journal *journal, const CourseSpec *spec, Course **out, Error *error);
void course_close(Course *course); /* NULL is allowed */

/* Where no engine is at it and the change is not over, begin; `prepare_only`: until everything is prepared.
 */
void course_go(Course *course, bool prepare_only);

const char *course_change(const Course *course);
bool course_has_host(const Course *course, const char *host); /* is it one of its hosts? */
bool course_is_over(Course *course);                          /* ended, and no engine is at it */

/* The view, until course_look_end(): look quickly, everybody waits. */
const Rollout *course_look(Course *course);
void course_look_end(Course *course);

/* What waits for the host, as host_link_remote_poll(). NULL: nothing, or no engine is at it. */
json_t *course_poll(Course *course, const char *host);
/* As host_link_remote_report(). ERROR_INTERRUPTED when no engine is at it that could hear. */
int course_report(Course *course, const char *host, const json_t *reports, int64_t *heard, Error *error);
/* What a host must know of the change: {"change", "version", "package_digest", "plan", "begun", "settled"}.
 */
int course_document(Course *course, const char *host, json_t **out, Error *error);
