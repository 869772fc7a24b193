/* upkeepd: the controller of a fleet. */
#include "cli/cli.h"
#include <malloc.h>
#include <sys/stat.h>

enum { RETURNED_AT_ONCE = 256 * 1024, ALLOCATORS = 4 };

int main(int count, char **words) {
    static const CliVerb *const verbs[] = {cli_verbs_controller, cli_verbs_trust, cli_verbs_journal,
                                           cli_verbs_help, NULL};
    static const CliProgram program = {
        .name = "upkeepd",
        .about =
            TEXT("upkeepd is the controller of a fleet: it knows its hosts and carries changes out on them."),
        .state = "/var/lib/upkeepd",
        .verbs = verbs};
    /* Plans and changes of 10,000 hosts come and go: unless told, the allocator keeps what they took. */
    mallopt(M_MMAP_THRESHOLD, RETURNED_AT_ONCE);
    mallopt(M_ARENA_MAX, ALLOCATORS);
    umask(077);
    return cli_main(&program, count, words);
}
