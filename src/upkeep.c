/* upkeep: the command line. */
#include "cli/cli.h"
#include <sys/stat.h>

int main(int count, char **words) {
    umask(022); /* what is installed must be readable by the user its service runs as, whoever installs it */
    return cli_main(count, words);
}
