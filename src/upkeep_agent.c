/* upkeep-agent: a host's side of a fleet. */
#include "cli/cli.h"
#include <malloc.h>
#include <sys/stat.h>

enum { RETURNED_AT_ONCE = 256 * 1024, ALLOCATORS = 2 };

int main(int count, char **words) {
    static const CliVerb *const verbs[] = {cli_verbs_agent, cli_verbs_trust,   cli_verbs_guard,
                                           cli_verbs_help,  cli_verbs_service, NULL};
    static const CliProgram program = {
        .name = "upkeep-agent",
        .about = TEXT(
            "upkeep-agent is a host's side of a fleet: it does what its controller asks, and stands alone."),
        .state = "/var/lib/upkeep-agent",
        .verbs = verbs};
    /* Lists of 50,000 files come and go: unless told, the allocator keeps what they took for the next one. */
    mallopt(M_MMAP_THRESHOLD, RETURNED_AT_ONCE);
    mallopt(M_ARENA_MAX, ALLOCATORS);
    umask(022); /* what is installed must be readable by the user its service runs as, whoever installs it */
    return cli_main(&program, count, words);
}
