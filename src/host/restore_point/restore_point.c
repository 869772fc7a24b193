/* Restore points as a whole: finding, loading, listing, removing. */
#include "host/restore_point/restore_point.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "host/restore_point/restore_point_file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void restore_point_free(RestorePoint *point) {
    if (!point) return;
    for (size_t i = 0; i < point->part_count; i++) tree_free(point->parts[i].tree);
    arena_free(point->arena);
}

RestorePointPart *restore_point_part(const RestorePoint *point, const char *name) {
    for (size_t i = 0; i < point->part_count; i++)
        if (strcmp(point->parts[i].name, name) == 0) return &point->parts[i];
    return NULL;
}

int restore_point_read_trees(Store *store, RestorePoint *point, Error *error) {
    for (size_t i = 0; i < point->part_count; i++)
        if (restore_point_read_tree(store, point, &point->parts[i], error) < 0) return -1;
    return 0;
}

/* ---- lists ---- */

static bool is_wanted(const RestorePoint *point, const char *service, const char *host) {
    return (!service || strcmp(point->service, service) == 0) && (!host || strcmp(point->host, host) == 0);
}

static int compare_age(const void *a, const void *b) {
    const RestorePoint *one = *(RestorePoint *const *)a, *two = *(RestorePoint *const *)b;
    if (one->time_ms != two->time_ms) return one->time_ms < two->time_ms ? -1 : 1;
    return strcmp(one->id, two->id);
}

/* A point that goes meanwhile was not there. */
static void list_add(RestorePointList *list, Store *store, const char *id, const char *service,
                     const char *host) {
    RESTORE_POINT_AUTO point = NULL;
    if (restore_point_load(store, id, &point, NULL) < 0) {
        if (file_exists(store_points_dir(store), id, NULL) != 0) list->unreadable++;
        return;
    }
    if (!is_wanted(point, service, host)) return;
    list->points = reallocarray(list->points, list->count + 1, sizeof *list->points);
    if (!list->points) abort();
    list->points[list->count++] = pointer_take(&point);
}

int restore_point_list(Store *store, const char *service, const char *host, RestorePointList *out,
                       Error *error) {
    int again = openat(store_points_dir(store), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = again < 0 ? NULL : fdopendir(again);
    if (!listing) {
        if (again >= 0) close(again);
        return error_errno(error, ERROR_SYSTEM, errno, "cannot list the folder %s", "points");
    }
    RestorePointList list = {0};
    for (struct dirent *entry; (entry = readdir(listing));)
        if (restore_point_id_valid(entry->d_name)) list_add(&list, store, entry->d_name, service, host);
    closedir(listing);
    if (list.count > 0) qsort(list.points, list.count, sizeof *list.points, compare_age);
    *out = list;
    return 0;
}

void restore_point_list_free(RestorePointList *list) {
    for (size_t i = 0; i < list->count; i++) restore_point_free(list->points[i]);
    free(list->points);
    *list = (RestorePointList){0};
}

int restore_point_latest(Store *store, const char *service, const char *host, RestorePoint **out,
                         Error *error) {
    RESTORE_POINT_LIST_AUTO list = {0};
    if (restore_point_list(store, service, host, &list, error) < 0) return -1;
    for (size_t i = list.count; i > 0; i--)
        if (list.points[i - 1]->proof.time_ms != 0)
            return restore_point_load(store, list.points[i - 1]->id, out, error);
    *out = NULL;
    return 0;
}

int restore_point_remove(Store *store, const char *id, Error *error) {
    if (!restore_point_id_valid(id))
        return error_set(error, ERROR_INVALID, "“%s” is no id of a restore point", id);
    return store_discard(store, store_points_dir(store), id, error);
}
