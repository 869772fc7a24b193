/* Content: where each file's bytes stand in the content of a package.
 *
 * The content is the concatenation of all distinct file contents, each once, in the order of the first path
 * that has it; empty files have none. It follows from the tree alone, so the manifest does not state it. The
 * content is cut into frames of FRAME_SIZE (the last one shorter), wherever files begin and end.
 */
#pragma once
#include "package/frame.h"
#include "package/tree.h"

typedef struct ContentPiece {
    uint64_t offset, size;
    uint32_t entry; /* index of the first entry that has this content */
} ContentPiece;

typedef struct Content {
    const Tree *tree;     /* borrowed */
    ContentPiece *pieces; /* by offset, without gaps */
    size_t count;
    uint64_t size;
    uint32_t *next; /* for each entry of the tree: the next one of the same content, or CONTENT_NONE */
} Content;

#define CONTENT_NONE UINT32_MAX

/* ERROR_INVALID when two entries state one digest and different sizes. The caller frees. */
int content_new(const Tree *tree, Content **out, Error *error);
void content_free(Content *content); /* NULL is allowed */
static inline void content_cleanup(Content **content) { content_free(*content); }
#define CONTENT_AUTO __attribute__((cleanup(content_cleanup))) Content *

/* Index of the piece that `offset` stands in; `offset` must be below the content's size. */
size_t content_piece_at(const Content *content, uint64_t offset);
static inline uint64_t content_frame_count(uint64_t size) { return (size + FRAME_SIZE - 1) / FRAME_SIZE; }
/* Bytes of content in frame `index`. */
static inline uint32_t content_frame_size(uint64_t size, uint64_t index) {
    uint64_t left = size - index * FRAME_SIZE;
    return left < FRAME_SIZE ? (uint32_t)left : FRAME_SIZE;
}
