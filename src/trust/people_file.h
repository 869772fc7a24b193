/* PeopleFile: `people.json`, the list behind people.h, read and written as a whole.
 *
 *   {"format": 1, "people": [{"name", "role", "stamp", "created_ms", "disabled", "password" (Argon2id, or
 *   ""), "tokens": [{"id", "label", "hash" (SHA-256), "created_ms", "expires_ms"}]}]}
 *
 * A file that is not exactly so is refused, not guessed at: whoever was shut out must not come in again
 * because a line was damaged. It is replaced by one rename, mode 0600; one that others may read or write is
 * refused. Writers hold `people.lock` from reading to writing.
 *
 * Calling order of a writer: lock, load, change the records, save, free, unlock. What was changed cannot be
 * looked up any more: load again.
 *
 * Ownership: a PeopleFile owns all that is in it. Not thread-safe. Errors: ERROR_INVALID for a damaged file,
 * ERROR_REFUSED for one that is not private.
 */
#pragma once
#include "base/arena.h"
#include "base/text_index.h"
#include "trust/password.h"
#include "trust/people.h"
#include <sys/types.h>
#include <time.h>

typedef struct PeopleToken {
    PersonToken token; /* last_used_ms is not written */
    Digest hash;
} PeopleToken;

typedef struct PeopleRecord {
    Person person;
    char password[PASSWORD_HASH_SIZE]; /* "": none; person.has_password says the same */
    PeopleToken tokens[PERSON_TOKENS_MAX];
    size_t token_count;
} PeopleRecord;

typedef struct PeopleFile {
    Arena *arena;
    PeopleRecord *records; /* room for one more */
    size_t count;
    TextIndex *names, *tokens; /* as they were read */
    int fd; /* of what was read, kept open so that its inode is not given to a later file; -1: there is none
             */
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
} PeopleFile;

void people_file_free(PeopleFile *file); /* NULL is allowed */
static inline void people_file_cleanup(PeopleFile **file) { people_file_free(*file); }
#define PEOPLE_FILE_AUTO __attribute__((cleanup(people_file_cleanup))) PeopleFile *

/* ---- Text ---- */

int people_file_parse(const char *text, size_t size, PeopleFile **out, Error *error);
/* Reads back to the same. Caller frees. */
char *people_file_text(const PeopleFile *file);

/* ---- On disk ---- */

/* Until the descriptor is closed nobody else writes. */
int people_file_lock(int dir, int *lock_out, Error *error);
/* Where there is none, a list of nobody. */
int people_file_load(int dir, PeopleFile **out, Error *error);
/* Is what is in the folder still what was read? Costs one system call. */
bool people_file_is_current(int dir, const PeopleFile *file);
/* Durable when it returns. */
int people_file_save(int dir, const PeopleFile *file, Error *error);

/* ---- Looking up ---- */

PeopleRecord *people_file_find(const PeopleFile *file, const char *name); /* NULL: nobody */
/* Whoever has that name but for capitals: two who are so much alike would be taken for each other. */
PeopleRecord *people_file_find_alike(const PeopleFile *file, const char *name);
/* By its id; whose it is in *owner. */
PeopleToken *people_file_find_token(const PeopleFile *file, const char *id, PeopleRecord **owner);
