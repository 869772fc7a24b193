/* Any bytes as a restore point's head or proof: refused, or a point whose head is written to the very text
 * that reads back to it, with nothing in it that would lead out of its folder. */
#include "base/cleanup.h"
#include "host/restore_point/restore_point_file.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_head(const RestorePoint *point) {
    assert(restore_point_id_valid(point->id) && !strchr(point->id, '/'));
    assert(point->root[0] == '/' && point->part_count <= RESTORE_POINT_PARTS_MAX);
    for (size_t i = 0; i < point->part_count; i++) {
        const RestorePointPart *part = &point->parts[i];
        assert(!part->tree && part->path_count <= RESTORE_POINT_PATHS_MAX);
        assert(restore_point_part(point, part->name) == part);
        for (size_t j = 0; j < part->path_count; j++)
            assert(part->paths[j][0] != '/' && part->paths[j][0] != '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    RESTORE_POINT_AUTO point = NULL;
    RestorePointProof proof = {0};
    Digest head = {0};
    Error error = {0};
    if (restore_point_proof_parse((const char *)data, size, &head, &proof, NULL) != 0)
        assert(proof.time_ms == 0);
    if (restore_point_head_parse((const char *)data, size, &point, &error) < 0) {
        assert(!point && error.kind == ERROR_INVALID);
        return 0;
    }
    check_head(point);
    FREE_AUTO char *text = restore_point_head_text(point);
    RESTORE_POINT_AUTO again = NULL;
    assert(restore_point_head_parse(text, strlen(text), &again, NULL) == 0);
    FREE_AUTO char *text_again = restore_point_head_text(again);
    assert(strcmp(text, text_again) == 0);
    return 0;
}
