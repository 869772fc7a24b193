/* Proving a restore point: restore it for real, compare it, throw the copy away, write down that it worked.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/random.h"
#include "host/restore_point/digest_list.h"
#include "host/restore_point/restore_point_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BATCH = 64, RANDOM_SIZE = 9, SCRATCH_NAME_SIZE = RESTORE_POINT_ID_MAX + 32 };

/* What of one part is restored for the proof: itself a tree. */
typedef struct Sample {
    const RestorePointPart *part;
    bool *needed; /* an entry each */
    Tree tree;    /* the needed entries; their strings are the part's */
} Sample;

typedef struct Proving {
    Store *store;
    RestorePoint *point;
    const RestorePointProve *options;
    Sample samples[RESTORE_POINT_PARTS_MAX];
    StoreProof *proofs; /* of the objects that are restored now */
    size_t proof_count;
    RestorePointProof proof;
    Progress progress;
} Proving;

/* ---- choosing ---- */

typedef struct Choosing {
    Proving *proving;
    Sample *sample;
} Choosing;

static bool is_needed(const Proving *proving, const Sample *sample, size_t index) {
    const TreeEntry *entry = &sample->part->tree->entries[index];
    const bool *fresh = sample->part->fresh;
    if (proving->options->full || (fresh && fresh[index])) return true;
    if (fresh && proving->point->prior_sound) return false;
    if (entry->type == TREE_FILE) return !store_is_proved(proving->store, &entry->digest);
    return !fresh; /* folders and links cost little: unless they are known, they are proved with the rest */
}

static int choose_batch(size_t number, unsigned worker, void *context, Error *error) {
    (void)worker;
    Choosing *choosing = context;
    size_t count = choosing->sample->part->tree->count;
    for (size_t i = number * BATCH; i < count && i < (number + 1) * BATCH; i++)
        choosing->sample->needed[i] = is_needed(choosing->proving, choosing->sample, i);
    return progress_add(&choosing->proving->progress, 0, error);
}

/* The folders above what is needed, and the files that needed names belong to. */
static void choose_company(Sample *sample) {
    const Tree *tree = sample->part->tree;
    for (size_t i = tree->count; i-- > 0;) {
        const TreeEntry *entry = &tree->entries[i];
        if (!sample->needed[i]) continue;
        if (entry->type == TREE_HARDLINK) {
            const TreeEntry *target = tree_find(tree, entry->target);
            if (target) sample->needed[target - tree->entries] = true;
        }
        /* Parents stand before their content, so this walk still comes to them. */
        const char *slash = strrchr(entry->path, '/');
        FREE_AUTO char *above = slash ? strndup(entry->path, (size_t)(slash - entry->path)) : NULL;
        const TreeEntry *folder = above ? tree_find(tree, above) : NULL;
        if (folder) sample->needed[folder - tree->entries] = true;
    }
}

static int choose(Proving *proving, const RestorePointPart *part, Sample *sample, Error *error) {
    const Tree *tree = part->tree;
    *sample = (Sample){.part = part, .needed = calloc(tree->count + 1, sizeof(bool))};
    if (!sample->needed) abort();
    Choosing choosing = {proving, sample};
    if (parallel_for((tree->count + BATCH - 1) / BATCH, parallel_workers(), choose_batch, &choosing, error) <
        0)
        return -1;
    choose_company(sample);
    size_t count = 0;
    for (size_t i = 0; i < tree->count; i++) count += sample->needed[i];
    sample->tree = (Tree){.foreign_links = true, .entries = calloc(count + 1, sizeof(TreeEntry))};
    if (!sample->tree.entries) abort();
    for (size_t i = 0; i < tree->count; i++) {
        const TreeEntry *entry = &tree->entries[i];
        proving->proof.known_files += entry->type == TREE_FILE && !sample->needed[i];
        if (!sample->needed[i]) continue;
        sample->tree.entries[sample->tree.count++] = *entry;
        if (entry->type != TREE_FILE) continue;
        sample->tree.total_size += entry->size;
        proving->proof.restored_files++;
        proving->proof.restored_bytes += entry->size;
    }
    return 0;
}

/* How the objects look before they are restored: what changes them from now on voids the proof. */
static int note_stamps(Proving *proving, Error *error) {
    DIGEST_LIST_AUTO digests = {0};
    for (size_t i = 0; i < proving->point->part_count; i++) {
        const Tree *tree = &proving->samples[i].tree;
        for (size_t j = 0; j < tree->count; j++)
            if (tree->entries[j].type == TREE_FILE) digest_list_add(&digests, &tree->entries[j].digest);
    }
    digest_list_settle(&digests);
    proving->proofs = calloc(digests.count + 1, sizeof *proving->proofs);
    if (!proving->proofs) abort();
    for (; proving->proof_count < digests.count; proving->proof_count++) {
        StoreProof *proof = &proving->proofs[proving->proof_count];
        proof->digest = digests.items[proving->proof_count];
        if (store_stamp(proving->store, &proof->digest, &proof->stamp, error) < 0) return -1;
    }
    return 0;
}

/* ---- restoring and comparing ---- */

typedef struct Difference {
    char path[256];
    size_t count;
} Difference;

static void note_difference(void *context, const char *path, const char *what) {
    (void)what;
    Difference *difference = context;
    if (difference->count++ == 0) snprintf(difference->path, sizeof difference->path, "%s", path);
}

static int write_sample(Proving *proving, const Sample *sample, int dir, Error *error) {
    RESTORE_AUTO restore = NULL;
    RestoreSpec spec = {
        .store = proving->store, .tree = &sample->tree, .scratch = true, .progress = &proving->progress};
    if (restore_plan(dir, &spec, &restore, error) < 0) return -1;
    return restore_execute(restore, error);
}

static int restore_sample(Proving *proving, const Sample *sample, int dir, Error *error) {
    if (write_sample(proving, sample, dir, error) < 0) return -1;
    Difference difference = {.count = 0};
    size_t count = 0;
    if (tree_compare(dir, &sample->tree, false, note_difference, &difference, &count, error) < 0) return -1;
    if (count > 0)
        return error_set(error, ERROR_REFUSED, "restored, %s is not what it was (%zu such entries)",
                         difference.path, count);
    return 0;
}

static int restore_part(Proving *proving, const Sample *sample, int scratch, Error *error) {
    if (sample->tree.count == 0) return 0;
    FD_AUTO dir = -1;
    if (file_open_dir_beneath(scratch, sample->part->name, 0700, &dir, error) < 0 ||
        restore_sample(proving, sample, dir, error) < 0)
        return error_prefix(error, "the part %s does not prove", sample->part->name);
    return 0;
}

static int restore_below(Proving *proving, int folder, Error *error) {
    char name[RANDOM_SIZE];
    FD_AUTO scratch = -1;
    store_spread(folder);
    random_name(name, sizeof name);
    if (file_open_dir_beneath(folder, name, 0700, &scratch, error) < 0) return -1;
    for (size_t i = 0; i < proving->point->part_count; i++)
        if (restore_part(proving, &proving->samples[i], scratch, error) < 0) return -1;
    return 0;
}

/* The same name each time, so that the next proof removes what a killed one left behind. */
static int restore_in_scratch(Proving *proving, Error *error) {
    const char *path = proving->options->scratch ? proving->options->scratch : ".";
    FD_AUTO parent = -1;
    if (proving->options->scratch
            ? file_open_dir(path, &parent, error) < 0
            : file_open_dir_beneath(store_temporary_dir(proving->store), path, 0700, &parent, error) < 0)
        return -1;
    char name[SCRATCH_NAME_SIZE];
    snprintf(name, sizeof name, "upkeep-proof-%s", proving->point->id);
    if (file_remove_tree(parent, name, error) < 0) return -1;
    FD_AUTO folder = -1;
    int result = file_open_dir_beneath(parent, name, 0700, &folder, error);
    if (result == 0) result = restore_below(proving, folder, error);
    int removed = file_remove_tree(parent, name, result == 0 ? error : NULL);
    return result == 0 ? removed : -1;
}

/* ---- proving ---- */

static int prove(Proving *proving, Error *error) {
    RestorePoint *point = proving->point;
    uint64_t trees = 0;
    for (size_t i = 0; i < point->part_count; i++) {
        RestorePointPart *part = &point->parts[i];
        if (restore_point_read_tree(proving->store, point, part, error) < 0) return -1;
        if (choose(proving, part, &proving->samples[i], error) < 0) return -1;
        trees += proving->samples[i].tree.count;
    }
    proving->progress.total = proving->proof.restored_bytes;
    if (note_stamps(proving, error) < 0) return -1;
    if (trees > 0 && restore_in_scratch(proving, error) < 0) return -1;
    if (store_add_proofs(proving->store, proving->proofs, proving->proof_count, error) < 0) return -1;
    RestorePointProof before = point->proof;
    point->proof = proving->proof;
    if (restore_point_write_proof(proving->store, point, error) == 0) return 0;
    point->proof = before;
    return -1;
}

/* What was proved once and does not prove now is proved no more. */
static void void_proof(Store *store, RestorePoint *point) {
    point->proof = (RestorePointProof){0};
    FD_AUTO dir = file_open_no_links(store_points_dir(store), point->id, O_RDONLY | O_DIRECTORY, 0);
    if (dir >= 0 && unlinkat(dir, "proof.json", 0) == 0) file_sync_dir(dir, NULL);
}

int restore_point_prove(Store *store, RestorePoint *point, const RestorePointProve *options, Error *error) {
    FD_AUTO lock = -1;
    if (store_lock(store, STORE_SHARED, &lock, error) < 0) return -1;
    Proving proving = {.store = store, .point = point, .options = options};
    proving.proof.time_ms = options->now_ms;
    proving.proof.full = options->full;
    progress_begin(&proving.progress, &options->wish, 0);
    Error failure = {0};
    int result = prove(&proving, &failure);
    if (result == 0) progress_end(&proving.progress);
    if (failure.kind == ERROR_REFUSED) void_proof(store, point);
    for (size_t i = 0; i < point->part_count; i++) {
        free(proving.samples[i].needed);
        free(proving.samples[i].tree.entries);
    }
    free(proving.proofs);
    if (result == 0) return 0;
    if (error) *error = failure;
    return error_prefix(error, "the restore point %s is not proved", point->id);
}

int restore_point_tidy(Store *store, const char *id, Error *error) {
    FD_AUTO dir = file_open_no_links(store_points_dir(store), id, O_RDONLY | O_DIRECTORY, 0);
    return dir < 0 ? 0 : file_replace_tidy(dir, "proof.json", error);
}

/* ---- soundness: the objects as they were when they were proved ---- */

typedef struct Sounding {
    Store *store;
    const Tree *tree;
    atomic_bool unsound;
} Sounding;

static int sound_batch(size_t number, unsigned worker, void *context, Error *error) {
    (void)worker, (void)error;
    Sounding *sounding = context;
    for (size_t i = number * BATCH; i < sounding->tree->count && i < (number + 1) * BATCH; i++) {
        const TreeEntry *entry = &sounding->tree->entries[i];
        if (entry->type == TREE_FILE && !store_is_proved(sounding->store, &entry->digest))
            atomic_store(&sounding->unsound, true);
    }
    return 0;
}

int restore_point_sound(Store *store, RestorePoint *point, Error *error) {
    point->sound = false;
    if (point->proof.time_ms == 0) return 0;
    for (size_t i = 0; i < point->part_count; i++) {
        Sounding sounding = {.store = store, .tree = point->parts[i].tree};
        if (parallel_for((sounding.tree->count + BATCH - 1) / BATCH, parallel_workers(), sound_batch,
                         &sounding, error) < 0)
            return -1;
        if (atomic_load(&sounding.unsound)) return 0;
    }
    point->sound = true;
    return 0;
}
