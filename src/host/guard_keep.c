/* The guard's own life. */
#include "host/guard_keep.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "host/deadline.h"
#include "host/host.h"
#include "host/ledger.h"
#include "host/release.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

enum { LOOK_MS = 500, ATTEMPTS = 20, ATTEMPT_PAUSE_MS = 15000, LOCK_TRIES = 100, LOCK_LOOK_MS = 5 };

static bool is_armed(const Ledger *ledger) {
    return ledger->change && ledger->confirm_by_ms && !ledger->confirmed && !ledger->committed &&
           !ledger->rolled_back;
}

static int roll_back(const char *root, int dir, const Ledger *ledger, Arena *arena, Error *error) {
    Release release;
    Host *host = NULL;
    char digest[DIGEST_TEXT_SIZE];
    if (release_load(dir, ledger->new_version, arena, &release, error) < 0) return -1;
    release.plan->service.root = root;
    digest_to_text(&release.package, digest);
    HostSpec spec = {.plan = release.plan,
                     .change = ledger->change,
                     .version = ledger->new_version,
                     .package_digest = digest,
                     .begun = true,
                     .store = ledger->store,
                     .clock = clock_system()};
    if (host_open(&spec, &host, error) < 0) return -1;
    /* Looked at once more, now that nobody else can be at it: a confirmation may have come while we waited.
     */
    int result = host_is_armed(host) ? host_roll_back_by_itself(host, error) : 0;
    host_close(host);
    return result;
}

typedef struct Guard {
    Deadline deadline;
    int failures; /* of rolling back: a full disk or a busy store may pass */
} Guard;

/* 1: look again later; 0: no guard is needed any more. */
static int look(const char *root, int dir, int upkeep, Guard *guard, Error *error) {
    ARENA_AUTO arena = arena_new();
    Ledger ledger;
    if (ledger_load(arena, upkeep, &ledger, error) < 0) return -1;
    int result = 0;
    if (is_armed(&ledger)) {
        result = 1;
        if (deadline_left_ms(&guard->deadline, ledger.confirm_by_ms, ledger.confirm_given_ms,
                             clock_system()) <= 0) {
            result = roll_back(root, dir, &ledger, arena, error);
            if (result < 0 && error->number == EWOULDBLOCK) {
                result = 1; /* an engine is at it: the choice is its */
            } else if (result < 0 && ++guard->failures < ATTEMPTS) {
                result = 1;
                clock_sleep_ms(ATTEMPT_PAUSE_MS);
            }
        }
    }
    ledger_free(&ledger);
    return result;
}

int guard_keep(const char *root, Error *error) {
    FD_AUTO dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FD_AUTO upkeep = dir < 0 ? -1 : file_open_no_links(dir, ".upkeep", O_RDONLY | O_DIRECTORY, 0);
    FD_AUTO lock =
        upkeep < 0 ? -1 : openat(upkeep, "guard.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    Guard guard = {0};
    int again;
    if (lock < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot guard %s", root);
    if (file_check_private(upkeep, root, error) < 0) return -1;
    for (int i = 0; flock(lock, LOCK_EX | LOCK_NB) != 0;
         i++) { /* somebody may just be looking whether we are awake */
        if (i == LOCK_TRIES) return 0;
        clock_sleep_ms(LOCK_LOOK_MS);
    }
    while ((again = look(root, dir, upkeep, &guard, error)) > 0) clock_sleep_ms(LOOK_MS);
    return again;
}
