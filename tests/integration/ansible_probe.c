/* ansible_probe FILE: what model/ansible makes of an inventory, as JSON; exit 1 and the error where it
 * refuses. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "model/ansible.h"
#include <fcntl.h>
#include <stdio.h>

int main(int argc, char **argv) {
    ARENA_AUTO arena = arena_new();
    BUFFER_AUTO text = {0};
    Error error = {0};
    Ansible ansible;
    if (argc != 2) return 2;
    if (file_read(AT_FDCWD, argv[1], ANSIBLE_TEXT_MAX, &text, &error) < 0 ||
        ansible_read(arena, argv[1], buffer_text(&text), text.size, &ansible, &error) < 0) {
        fprintf(stderr, "%s\n", error.en);
        return 1;
    }
    JSON_AUTO json = ansible_to_json(&ansible);
    FREE_AUTO char *told = json_text(json);
    printf("%s\n", told);
    return 0;
}
