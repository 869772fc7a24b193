/* RestorePointFile: a restore point as files — what stands in points/<id>/. Private to restore_point*.c.
 *
 *   point.json      the head: who, what, when, and the digests of the other files
 *   <part>.tree     the part's entries, a line each (package/tree.h)
 *   <part>.stamps   "upkeep-stamps 1\n", then for each entry 24 bytes, little-endian: inode, modified,
 * changed (nanoseconds since 1970; changed 0: do not believe this entry unchanged) proof.json      written by
 * proving only; holds for the head whose digest it names
 */
#pragma once
#include "base/json.h"
#include "host/restore_point/restore_point.h"

enum { RESTORE_POINT_HEAD_MAX = 4 << 20, RESTORE_POINT_NAME_MAX = 64 };

bool restore_point_id_valid(const char *id);
bool restore_point_name_valid(const char *name); /* of a part */

/* The head as text (caller frees) and back; untrusted text is checked, limits and all. Caller frees the
 * point. */
char *restore_point_head_text(const RestorePoint *point);
int restore_point_head_parse(const char *text, size_t size, RestorePoint **out, Error *error);
/* 1: there is no proof, or one of another head. */
int restore_point_proof_parse(const char *text, size_t size, const Digest *head, RestorePointProof *out,
                              Error *error);

/* Read and check the tree of one part, with its stamps, unless it is read already. */
int restore_point_read_tree(Store *store, const RestorePoint *point, RestorePointPart *part, Error *error);

/* Write one part's tree and stamps into `dir` and note their digests in the part. Files that would equal
 * `prior`'s (of points/<prior id>/, NULL: none) are linked instead. */
typedef struct RestorePointReuse {
    int dir; /* the prior point's folder */
    const RestorePointPart *part;
    bool same_tree, same_stamps;
} RestorePointReuse;
int restore_point_write_part(int dir, RestorePointPart *part, const RestorePointReuse *reuse, Error *error);
/* Durable, in points/<id>/. */
int restore_point_write_proof(Store *store, const RestorePoint *point, Error *error);
