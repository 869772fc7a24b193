/* Home: the folder in which a host's agent keeps what it must not forget.
 *
 *   agent.json          where its controller is, and what it calls this host
 *   roots.json, stores.json   where services were installed, and where plans wanted restore points
 *   task.json           the task that was begun last
 *   identity/           key and certificate (trust/identity.h)
 *   trust/NAME.pub      (trust/keyring.h) whose packages may be installed here: the host's own choice, no
 * controller's changes/ID/         change.json, what the controller said of a change; outbox, what is to be
 * told of it packages/           files by their SHA-256; what is being fetched ends in ".part"
 *   restore-points/     of services whose plan names no other place
 *   lock                held by the one agent that runs
 *
 * Names of changes come from the controller and become names of folders: home_is_change_name() is asked
 * first, everything is opened beneath the folder without following links. Errors: ERROR_REFUSED for a folder
 * that others may write, or that another agent has; ERROR_INVALID for what is not there or cannot be read.
 * One thread opens and closes; the rest may be called by any.
 */
#pragma once
#include "base/arena.h"
#include "base/digest.h"
#include "base/error.h"
#include "model/schema.h"
#include <jansson.h>
#include <stdbool.h>

typedef struct Home { /* read only */
    int dir;
    int lock;
    char *path;
} Home;

/* Opened, made (mode 0700) when missing. `running`: as the one agent, with the lock. */
int home_open(const char *path, bool running, Home **out, Error *error);
void home_close(Home *home); /* NULL is allowed */
static inline void home_cleanup(Home **home) { home_close(*home); }
#define HOME_AUTO __attribute__((cleanup(home_cleanup))) Home *

/* A path in it. In the arena. */
const char *home_path(const Home *home, Arena *arena, const char *name);

/* Where the controller is: "https://host:port". In the arena. ENOENT in error->number: it has not joined. */
int home_controller(const Home *home, Arena *arena, const char **url, Error *error);
int home_set_controller(const Home *home, const char *url, Error *error);

/* Where services were installed by changes of this controller, and where their restore points may stand:
 * here, and wherever a plan wanted them. In the arena. */
StringList home_roots(const Home *home, Arena *arena);
StringList home_stores(const Home *home, Arena *arena);
/* `store`: NULL for the one here. */
int home_note_places(const Home *home, const char *root, const char *store, Error *error);

/* The task that this host began last and that changes it; durable before it begins, so that an agent that
 * ended in the middle does not begin it a second time. In the arena; "": none. */
const char *home_task(const Home *home, Arena *arena);
int home_note_task(const Home *home, const char *id, Error *error);

bool home_is_change_name(const char *name);
/* The folder of a change, made when missing. Caller closes. */
int home_change_dir(const Home *home, const char *change, int *out, Error *error);
/* Names of all there are. In the arena. */
int home_changes(const Home *home, Arena *arena, StringList *out, Error *error);
int home_document_save(const Home *home, const char *change, const json_t *document, Error *error);
/* A new reference. ENOENT in error->number when there is none. */
int home_document_load(const Home *home, const char *change, json_t **out, Error *error);
int home_forget_change(const Home *home, const char *change, Error *error);

/* "packages/<sha256>", absolute. In the arena. */
const char *home_package_path(const Home *home, Arena *arena, const char *sha256);
/* The folder packages/, made when missing. Caller closes. */
int home_packages_dir(const Home *home, int *out, Error *error);
/* Remove the packages that none of `needed` (file names) is. */
int home_tidy_packages(const Home *home, const StringList *needed, Error *error);
