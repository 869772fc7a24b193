/* Replay: a main() for fuzz targets built without libFuzzer. It feeds the target every file of the folders
 * given, and every prefix of each (at most PREFIXES_MAX of them, evenly spread): one TAP test a file. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PREFIXES_MAX = 2000, FILE_MAX = 1 << 20 };

/* The exact size, so that a sanitizer sees the first byte read past the end. */
static void feed(const char *bytes, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) abort();
    if (size) memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void replay(const char *path) {
    static char bytes[FILE_MAX];
    FILE *file = fopen(path, "rbe");
    if (!file) abort();
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    size_t step = size / PREFIXES_MAX + 1;
    for (size_t length = 0; length < size; length += step) feed(bytes, length);
    feed(bytes, size);
}

int main(int argc, char **argv) {
    int tests = 0;
    for (int i = 1; i < argc; i++) {
        struct dirent **names;
        int count = scandir(argv[i], &names, NULL, alphasort);
        for (int j = 0; j < count; j++) {
            if (names[j]->d_name[0] != '.') {
                char path[4096];
                snprintf(path, sizeof path, "%s/%s", argv[i], names[j]->d_name);
                replay(path);
                printf("ok %d - survives %s and its prefixes\n", ++tests, names[j]->d_name);
            }
            free(names[j]);
        }
        if (count >= 0) free(names);
    }
    printf("1..%d\n", tests);
    return tests ? 0 : 1;
}
