/* PeopleRoom: what the files of people.h share. Private to trust/people*.c. */
#pragma once
#include "trust/people_file.h"
#include <pthread.h>

struct People {
    int dir;
    char *path;           /* of the folder, for errors */
    pthread_mutex_t lock; /* of `file`; never held while waiting for another program or hashing */
    PeopleFile *file;     /* as it was last read; never NULL */
};

/* Whoever holds `lock`: read the list again where it has changed; tokens keep the time of their last use. */
int people_refresh(People *people, Error *error);
/* "There is nobody called NAME": of a name that an operator gave, not of one who wants to sign in. */
void people_refuse_name(const char *name, Error *error);
