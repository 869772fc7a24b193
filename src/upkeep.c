/* upkeep: the command line. */
#include "cli/cli.h"
#include <malloc.h>
#include <sys/stat.h>

enum { RETURNED_AT_ONCE = 256 * 1024, ALLOCATORS = 2 };

int main(int count, char **words) {
    static const CliVerb *const verbs[] = {
        cli_verbs_key,     cli_verbs_package,  cli_verbs_inspect, cli_verbs_plan,  cli_verbs_change,
        cli_verbs_restore, cli_verbs_report,   cli_verbs_journal, cli_verbs_help,  cli_verbs_guard,
        cli_verbs_service, cli_verbs_simulate, cli_verbs_login,   cli_verbs_fleet, NULL};
    /* Lists of 50,000 files come and go: unless told, the allocator keeps what they took for the next one. */
    mallopt(M_MMAP_THRESHOLD, RETURNED_AT_ONCE);
    mallopt(M_ARENA_MAX, ALLOCATORS);
    umask(022); /* what is installed must be readable by the user its service runs as, whoever installs it */
    static const CliProgram program = {
        .name = "upkeep",
        .about =
            TEXT("Upkeep carries a software upgrade from a signed package to a verified, archived change."),
        .state = "/var/lib/upkeep",
        .verbs = verbs,
        .remote = true};
    return cli_main(&program, count, words);
}
