/* upkeep: the command line. */
#include "cli/cli.h"
#include <sys/stat.h>

int main(int count, char **words) {
    static const CliVerb *const verbs[] = {cli_verbs_key,
                                           cli_verbs_package,
                                           cli_verbs_inspect,
                                           cli_verbs_plan,
                                           cli_verbs_change,
                                           cli_verbs_restore,
                                           cli_verbs_report,
                                           cli_verbs_journal,
                                           cli_verbs_help,
                                           cli_verbs_guard,
                                           cli_verbs_service,
                                           NULL};
    umask(022); /* what is installed must be readable by the user its service runs as, whoever installs it */
    return cli_main(verbs, count, words);
}
