#include "cli/secret.h"
#include "base/cleanup.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <termios.h>

void secret_wipe(char text[static SECRET_MAX]) { explicit_bzero(text, SECRET_MAX); }

/* Byte by byte up to the line's end: what follows on standard input is somebody else's. */
static int read_line(int fd, char out[static SECRET_MAX], Error *error) {
    size_t size = 0;
    for (;;) {
        char byte;
        ssize_t got = read(fd, &byte, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot read the secret");
        if (got == 0 || byte == '\n') break;
        if (size + 1 == SECRET_MAX) return error_set(error, ERROR_INVALID, "the secret is too long");
        out[size++] = byte;
    }
    if (size > 0 && out[size - 1] == '\r') size--;
    out[size] = '\0';
    return size > 0 ? 0 : error_set(error, ERROR_INVALID, "the secret is empty");
}

static int ask(const Cli *cli, const char *prompt, char out[static SECRET_MAX], Error *error) {
    struct termios before, silent;
    bool changed = tcgetattr(STDIN_FILENO, &before) == 0;
    fprintf(stderr, "%s: ", cli_text(cli, prompt));
    if (changed) {
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    int result = read_line(STDIN_FILENO, out, error);
    if (changed) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fprintf(stderr, "\n");
    return result;
}

int secret_read(const Cli *cli, const char *path, const char *prompt, char out[static SECRET_MAX],
                Error *error) {
    if (!path && isatty(STDIN_FILENO)) return ask(cli, prompt, out, error);
    if (!path) return read_line(STDIN_FILENO, out, error);
    FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_errno(error, ERROR_INVALID, errno, "cannot open %s", path);
    return read_line(fd, out, error);
}
