#include "host/parts.h"

size_t parts_of_service(Arena *arena, const PlanService *service, const char *version,
                        RestorePointPart parts[static PARTS_MAX]) {
    size_t count = 0;
    if (version) {
        const char **paths = ARENA_ARRAY(arena, 2, const char *);
        paths[0] = arena_printf(arena, ".upkeep/releases/%s", version);
        paths[1] = arena_printf(arena, "releases/%s", version);
        parts[count++] = (RestorePointPart){.name = "release", .paths = paths, .path_count = 2};
    }
    if (service->config.count)
        parts[count++] = (RestorePointPart){
            .name = "config", .paths = service->config.items, .path_count = service->config.count};
    if (service->data.count)
        parts[count++] = (RestorePointPart){
            .name = "data", .paths = service->data.items, .path_count = service->data.count};
    return count;
}
