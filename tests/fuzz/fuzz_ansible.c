/* Any bytes as an Ansible inventory in INI: refused with a place, or hosts that keep every promise of
 * model/ansible.h. */
#include "fuzz_ansible.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ARENA_AUTO arena = arena_new();
    Ansible ansible = {0};
    Error error = {0};
    if (ansible_read_ini(arena, "f", (const char *)data, size, &ansible, &error) == 0)
        fuzz_ansible_check(&ansible);
    else
        assert(!ansible.hosts && error.kind == ERROR_INVALID && strncmp(error.en, "f", 1) == 0);
    return 0;
}
