/* Drive: being the engine of one change — from this process, with progress, until it ends, pauses or waits
 * for a person. */
#pragma once
#include "base/arena.h"
#include "cli/cli.h"
#include "journal/journal.h"
#include "model/rollout.h"

typedef struct Drive {
    Cli *cli;
    Journal *journal;
    const char *change;
    const char *by;
    bool prepare_only;
    bool resume;          /* take a pause back */
    bool fresh;           /* just opened: when its hosts cannot be had, it is closed again as refused */
    bool asked;           /* the rollback or abort is what was asked for: having done it is success */
    const char *control;  /* what is asked of it, written once the hosts are ours; NULL: nothing */
    const char *why;      /* of the control; may be NULL */
    const json_t *fields; /* of the control; may be NULL */
} Drive;

/* The exit status. -1: it could not be begun, and nothing was written: drive_is_busy() tells whether that is
 * because somebody else is at it. Does not return when the user interrupts twice. */
int drive_change(const Drive *drive, Error *error);
bool drive_is_busy(const Error *error);

/* Write drive->control for whoever is at it, and follow what they do until it has ended — or take over from
 * them when they are gone; the exit status. */
int drive_follow(const Drive *drive, Error *error);

/* Follow what another process does with it, until it ends; the exit status. */
int drive_watch(const Drive *drive, Error *error);

/* Where the restore points of a host are. In the arena. */
const char *drive_store(const Cli *cli, Arena *arena, const Plan *plan);
