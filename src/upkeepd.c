/* upkeepd: the controller of a fleet. */
#include "cli/cli.h"
#include <malloc.h>
#include <sys/stat.h>

enum { ALLOCATORS = 4 };

int main(int count, char **words) {
    static const CliVerb *const verbs[] = {cli_verbs_controller, cli_verbs_trust, cli_verbs_journal,
                                           cli_verbs_help, NULL};
    static const CliProgram program = {
        .name = "upkeepd",
        .about =
            TEXT("upkeepd is the controller of a fleet: it knows its hosts and carries changes out on them."),
        .state = "/var/lib/upkeepd",
        .verbs = verbs};
    mallopt(M_ARENA_MAX, ALLOCATORS);
    umask(077);
    return cli_main(&program, count, words);
}
