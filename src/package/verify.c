/* package_verify: frames are decoded in parallel; files that lie within one frame are hashed there and then,
 * those that cross from frame to frame in the order of the frames, one worker at a time. */
#include "base/cleanup.h"
#include "base/parallel.h"
#include "package/package.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct Room { /* one worker's */
    FrameDecoder *decoder;
    uint8_t *bytes, *content;
} Room;

typedef struct Verification {
    const Package *package;
    const Content *content;
    Progress progress;
    Room rooms[PACKAGE_WORKERS_MAX];
    pthread_mutex_t lock;
    pthread_cond_t turned;
    size_t turn; /* the frame whose crossing files may be hashed now */
    bool failed;
    DigestStream *crossing; /* of the file that crosses into frame `turn` */
} Verification;

static int check_digest(const Verification *verification, const ContentPiece *piece, const Digest *digest,
                        Error *error) {
    const TreeEntry *entry = &verification->package->manifest->tree->entries[piece->entry];
    if (digest_equal(digest, &entry->digest)) return 0;
    return error_set(error, ERROR_INVALID, "the package %s: %s has not the content that was signed",
                     verification->package->path, entry->path);
}

/* A frame and what it holds of the content. */
typedef struct Span {
    const uint8_t *bytes;
    uint64_t begin, end; /* in the content */
    size_t first, last;  /* pieces that are in it, wholly or in part */
} Span;

static bool lies_within(const Span *span, const ContentPiece *piece) {
    return piece->offset >= span->begin && piece->offset + piece->size <= span->end;
}

static int hash_within(const Verification *verification, const Span *span, Error *error) {
    for (size_t i = span->first; i <= span->last; i++) {
        const ContentPiece *piece = &verification->content->pieces[i];
        if (!lies_within(span, piece)) continue;
        Digest digest = digest_of(span->bytes + (piece->offset - span->begin), piece->size);
        if (check_digest(verification, piece, &digest, error) < 0) return -1;
    }
    return 0;
}

/* The part of a crossing file that is in this frame. */
static int hash_crossing_piece(Verification *verification, const Span *span, const ContentPiece *piece,
                               Error *error) {
    uint64_t begin = piece->offset > span->begin ? piece->offset : span->begin;
    uint64_t piece_end = piece->offset + piece->size, end = piece_end < span->end ? piece_end : span->end;
    if (begin == piece->offset) digest_stream_begin(verification->crossing);
    digest_stream_add(verification->crossing, span->bytes + (begin - span->begin), end - begin);
    if (end < piece_end) return 0;
    Digest digest = digest_stream_end(verification->crossing);
    return check_digest(verification, piece, &digest, error);
}

static int hash_crossing(Verification *verification, size_t frame, const Span *span, Error *error) {
    const ContentPiece *first = &verification->content->pieces[span->first];
    const ContentPiece *last = &verification->content->pieces[span->last];
    pthread_mutex_lock(&verification->lock);
    while (verification->turn != frame && !verification->failed)
        pthread_cond_wait(&verification->turned, &verification->lock);
    bool failed = verification->failed;
    pthread_mutex_unlock(&verification->lock);
    if (failed) return 0; /* who failed has said why */
    if (!lies_within(span, first) && hash_crossing_piece(verification, span, first, error) < 0) return -1;
    if (last != first && !lies_within(span, last) && hash_crossing_piece(verification, span, last, error) < 0)
        return -1;
    pthread_mutex_lock(&verification->lock);
    verification->turn++;
    pthread_cond_broadcast(&verification->turned);
    pthread_mutex_unlock(&verification->lock);
    return 0;
}

static Room *room_of(Verification *verification, unsigned worker) {
    Room *room = &verification->rooms[worker];
    if (room->decoder) return room;
    room->decoder = frame_decoder_new();
    room->bytes = malloc(FRAME_BYTES_MAX);
    room->content = malloc(FRAME_SIZE);
    if (!room->bytes || !room->content) abort();
    return room;
}

static int verify_frame(Verification *verification, size_t frame, Room *room, Error *error) {
    const Content *content = verification->content;
    if (package_read_frame(verification->package, frame, room->decoder, room->bytes, room->content, error) <
        0)
        return -1;
    uint64_t begin = (uint64_t)frame * FRAME_SIZE, end = begin + content_frame_size(content->size, frame);
    Span span = {room->content, begin, end, content_piece_at(content, begin),
                 content_piece_at(content, end - 1)};
    if (hash_within(verification, &span, error) < 0) return -1;
    if (hash_crossing(verification, frame, &span, error) < 0) return -1;
    return progress_add(&verification->progress, end - begin, error);
}

static int verify_one(size_t index, unsigned worker, void *context, Error *error) {
    Verification *verification = context;
    if (verify_frame(verification, index, room_of(verification, worker), error) == 0) return 0;
    pthread_mutex_lock(&verification->lock); /* nobody need wait for a turn that will not come */
    verification->failed = true;
    pthread_cond_broadcast(&verification->turned);
    pthread_mutex_unlock(&verification->lock);
    return -1;
}

int package_verify(const Package *package, const ProgressWish *wish, Error *error) {
    CONTENT_AUTO content = NULL;
    if (content_new(package->manifest->tree, &content, error) < 0) return -1;
    Verification verification = {.package = package,
                                 .content = content,
                                 .lock = PTHREAD_MUTEX_INITIALIZER,
                                 .turned = PTHREAD_COND_INITIALIZER,
                                 .crossing = digest_stream_new()};
    progress_begin(&verification.progress, wish, content->size);
    unsigned workers = parallel_workers();
    if (workers > PACKAGE_WORKERS_MAX) workers = PACKAGE_WORKERS_MAX;
    int result = parallel_for(package->manifest->frame_count, workers, verify_one, &verification, error);
    for (unsigned i = 0; i < PACKAGE_WORKERS_MAX; i++) {
        frame_decoder_free(verification.rooms[i].decoder);
        free(verification.rooms[i].bytes);
        free(verification.rooms[i].content);
    }
    digest_stream_free(verification.crossing);
    if (result == 0) progress_end(&verification.progress);
    return result;
}
